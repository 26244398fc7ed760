namespace Backends.Block.Device;

/// <summary>The last byte of a request, VIRTIO_BLK_S_ values.</summary>
internal enum BlockStatus : byte
{
    Ok = 0,
    IoError = 1,
    Unsupported = 2,
}

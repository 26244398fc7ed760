using VhostXen.Linux;

namespace VhostUser.Devices;

/// <summary>
/// What a device may ask of the front-end that drives it (the back-end channel of vhost-user). Valid for one
/// session; every call answers false or null once that has ended, or where the front-end lacks the feature.
/// </summary>
public interface IFrontendChannel
{
    /// <summary>Shows part of a file to the guest in one of the device's shared memory regions (SHMEM_MAP).</summary>
    /// <param name="region">Index into <see cref="VirtioDevice.SharedMemorySizes"/>.</param>
    /// <param name="file">The file; stays the caller's.</param>
    /// <param name="fileOffset">Bytes into the file, page-aligned.</param>
    /// <param name="regionOffset">Bytes into the region, page-aligned.</param>
    /// <param name="length">Bytes.</param>
    /// <param name="writable">Whether the guest may write.</param>
    /// <returns>False when the front-end refuses: it overlaps another mapping, or lies outside the region.</returns>
    Task<bool> MapSharedMemoryAsync(byte region, FileDescriptor file, ulong fileOffset, ulong regionOffset, ulong length, bool writable);

    /// <summary>Takes back exactly one mapping (SHMEM_UNMAP).</summary>
    Task<bool> UnmapSharedMemoryAsync(byte region, ulong regionOffset, ulong length);

    /// <summary>Offers a dma-buf to other devices under an id, and answers GET_SHARED_OBJECT with it (SHARED_OBJECT_ADD).</summary>
    /// <param name="id">The UUID.</param>
    /// <param name="file">The dma-buf; a duplicate is kept.</param>
    Task<bool> ShareObjectAsync(Guid id, FileDescriptor file);

    /// <summary>Withdraws it (SHARED_OBJECT_REMOVE).</summary>
    Task<bool> UnshareObjectAsync(Guid id);

    /// <summary>Asks for a dma-buf that another device shares (SHARED_OBJECT_LOOKUP).</summary>
    /// <returns>The descriptor, which the caller owns, or null.</returns>
    Task<FileDescriptor?> LookUpObjectAsync(Guid id);
}

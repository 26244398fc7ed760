using System.Buffers.Binary;

namespace XenVhostMaster.Transports;

/// <content>
/// The device's configuration space: a copy of the back-end's, so that reading a register never waits for a socket.
/// </content>
internal sealed partial class VirtioDeviceModel
{
    /// <summary>Bytes of configuration space at most (what one GET_CONFIG carries).</summary>
    public const int MaxConfigSize = 256;

    private readonly Lock _configLock = new();
    private readonly byte[] _config = new byte[MaxConfigSize];
    private int _dirtyStart = MaxConfigSize;
    private int _dirtyEnd;

    /// <summary>Bytes of configuration space.</summary>
    public int ConfigSize { get; private set; }

    /// <summary>Another number whenever the device changed its configuration: a driver reads it before and after.</summary>
    public byte ConfigGeneration { get; private set; }

    /// <summary>Reads little-endian; what is outside reads as zero.</summary>
    public ulong ReadConfig(ulong offset, int size)
    {
        if (offset >= (ulong)ConfigSize)
            return 0;

        Span<byte> value = stackalloc byte[8];
        value.Clear();
        int start = (int)offset;
        _config.AsSpan(start, Math.Min(size, ConfigSize - start)).CopyTo(value);
        return BinaryPrimitives.ReadUInt64LittleEndian(value);
    }

    /// <summary>The driver writes; what is outside is ignored.</summary>
    public void WriteConfig(ulong offset, int size, ulong value)
    {
        if (_resetting || offset >= (ulong)ConfigSize || (ulong)size > (ulong)ConfigSize - offset)
            return;

        int start = (int)offset;
        Span<byte> bytes = stackalloc byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, value);
        lock (_configLock)
        {
            bytes[..size].CopyTo(_config.AsSpan(start, size));
            _dirtyStart = Math.Min(_dirtyStart, start);
            _dirtyEnd = Math.Max(_dirtyEnd, start + size);
        }

        _control.ConfigWritten();
    }

    /// <summary>What the driver wrote since the last call, as one piece. For the control plane, on any thread.</summary>
    /// <returns>Bytes copied to <paramref name="data"/>; 0 when nothing was written.</returns>
    public int TakeConfigWrites(Span<byte> data, out int offset)
    {
        lock (_configLock)
        {
            offset = _dirtyStart;
            int length = Math.Max(_dirtyEnd - _dirtyStart, 0);
            _config.AsSpan(offset, length).CopyTo(data);
            (_dirtyStart, _dirtyEnd) = (MaxConfigSize, 0);
            return length;
        }
    }

    /// <summary>The back-end's configuration space as it is now; the driver is told if that is news.</summary>
    public void SetConfig(ReadOnlySpan<byte> config)
    {
        int size = Math.Min(config.Length, MaxConfigSize);
        lock (_configLock)
        {
            if (size == ConfigSize && config[..size].SequenceEqual(_config.AsSpan(0, size)))
                return;

            // What the driver wrote and the back-end has not seen yet is on its way there.
            if (_dirtyEnd > _dirtyStart)
                return;

            _config.AsSpan().Clear();
            config[..size].CopyTo(_config);
            ConfigSize = size;
        }

        ConfigGeneration++;
        if (IsRunning)
            _transport?.ConfigInterrupt();
    }
}

using VhostXen.Linux;
using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;

namespace XenMemoryProvider.Memory;

/// <summary>What one chain has of its guest: at most one mapping per direction, and room for small buffers that are copied.</summary>
internal sealed class GrantLease(int index, int copyLimit) : IDisposable
{
    private MappedMemory? _bounce;
    private Gntdev.GrantCopySegment[] _segments = [];

    /// <summary>Its place in the mapper's table.</summary>
    internal int Index { get; } = index;

    /// <summary>Counts its uses, so that a token is good once.</summary>
    internal uint Generation { get; set; }

    internal bool InUse { get; set; }

    internal GrantMapping Readable { get; set; }

    internal GrantMapping Writable { get; set; }

    /// <summary>Copies to be made into the guest when the chain is done.</summary>
    internal int CopiesBack { get; set; }

    /// <summary>Copies that wait; grows and never shrinks.</summary>
    internal Span<Gntdev.GrantCopySegment> Segments => _segments;

    /// <summary>Memory for small buffers: what the device reads first, what it writes in the second half.</summary>
    internal unsafe byte* Bounce(bool writable)
    {
        _bounce ??= MappedMemory.Anonymous(2 * XenPage.RoundUp((nuint)copyLimit));
        return _bounce.Pointer + (writable ? _bounce.Length / 2 : 0);
    }

    internal void Reserve(int segments)
    {
        if (_segments.Length < segments) Array.Resize(ref _segments, Math.Max(segments, _segments.Length * 2));
    }

    public void Dispose() => _bounce?.Dispose();
}

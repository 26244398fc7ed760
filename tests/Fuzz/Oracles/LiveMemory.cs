using VhostUser.Memory;
using VhostUser.Protocol;
using VhostXen.Linux;

namespace Fuzz.Oracles;

/// <summary>Keeps a list of every mapping that a provider made and nobody disposed of yet: what a device may touch.</summary>
internal sealed unsafe class LiveMemory(IGuestMemoryProvider inner) : IGuestMemoryProvider
{
    private readonly Lock _lock = new();
    private readonly List<(nuint Start, nuint Length)> _live = [];

    public bool SupportsXenMmap => inner.SupportsXenMmap;

    public int Count
    {
        get
        {
            lock (_lock)
                return _live.Count;
        }
    }

    public RegionMapping Map(in MemoryRegion region, FileDescriptor fd) => new Tracked(this, inner.Map(region, fd), region.Size);

    /// <summary>Whether every byte of every buffer lies in a mapping that is there.</summary>
    public bool Holds(ReadOnlySpan<iovec> buffers)
    {
        lock (_lock)
        {
            foreach (ref readonly iovec buffer in buffers)
            {
                if (!Holds((nuint)buffer.iov_base, buffer.iov_len))
                    return false;
            }
        }

        return true;
    }

    private bool Holds(nuint start, nuint length)
    {
        foreach ((nuint Start, nuint Length) region in _live)
        {
            if (start >= region.Start && start - region.Start <= region.Length && length <= region.Length - (start - region.Start))
                return true;
        }

        return false;
    }

    private sealed class Tracked : RegionMapping
    {
        private readonly LiveMemory _owner;
        private readonly RegionMapping _inner;
        private readonly (nuint Start, nuint Length) _place;

        public Tracked(LiveMemory owner, RegionMapping inner, ulong size)
        {
            _owner = owner;
            _inner = inner;
            Pointer = inner.Pointer;
            CanPin = inner.CanPin;
            _place = ((nuint)inner.Pointer, (nuint)size);
            lock (owner._lock)
                owner._live.Add(_place);
        }

        public override void Dispose()
        {
            lock (_owner._lock)
                _owner._live.Remove(_place);

            _inner.Dispose();
        }
    }
}

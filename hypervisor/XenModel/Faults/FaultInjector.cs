using XenModel.Domains;

namespace XenModel.Faults;

/// <summary>
/// Failures by name, for tests and demonstrations. Each is armed for a domain and happens by itself; nothing is armed at the
/// start. Any thread.
/// </summary>
public sealed class FaultInjector
{
    private readonly Hypervisor _hypervisor;
    private readonly Dictionary<ushort, PageFault> _pages = [];
    private readonly Dictionary<(ushort, uint), HeldPort> _events = [];

    internal FaultInjector(Hypervisor hypervisor) => _hypervisor = hypervisor;

    /// <summary>fail-page: of the pages of a domain that are mapped from now on, the nth (from 0) fails once.</summary>
    /// <param name="error">A positive errno.</param>
    public void FailPage(ushort domid, int nth, int error)
    {
        lock (_hypervisor.Gate) _pages[domid] = new PageFault(nth, error);
    }

    /// <summary>delay-event: the next so many events for a port of a domain wait until they are released.</summary>
    public void DelayEvents(ushort domid, uint port, int count = 1)
    {
        lock (_hypervisor.Gate) _events[(domid, port)] = new HeldPort(count);
    }

    /// <summary>release-event: delivers what is held, once however often it was sent, and holds no more.</summary>
    /// <returns>False: nothing was held.</returns>
    public bool ReleaseEvents(ushort domid, uint port)
    {
        lock (_hypervisor.Gate)
        {
            if (!_events.Remove((domid, port), out HeldPort? held) || held.Sent == 0) return false;
            if (_hypervisor.FindLocked(domid) is { } domain && domain.Events.Find(port) is { } channel) domain.Events.Deliver(channel);
            return true;
        }
    }

    /// <summary>page-out: gives pages to the pager. They come back after so many requests for them.</summary>
    /// <returns>How many pages went; those that somebody maps cannot.</returns>
    public int PageOut(ushort domid, ulong firstGfn, int count, int requestsUntilBack = 3)
    {
        lock (_hypervisor.Gate)
        {
            if (_hypervisor.FindLocked(domid) is not { } domain) return 0;
            domain.P2m.PageInAfter = requestsUntilBack;
            int done = 0;
            for (int i = 0; i < count; i++)
            {
                if (domain.P2m.TryPageOut(firstGfn + (uint)i)) done++;
            }

            return done;
        }
    }

    /// <summary>kill-domain: as if its toolstack destroyed it, in the middle of whatever it does.</summary>
    /// <returns>False: no such domain.</returns>
    public bool KillDomain(ushort domid) => _hypervisor.DestroyDomain(domid);

    /// <summary>The errno for the next mapped page of a domain; 0 when it is not to fail.</summary>
    internal int NextPageError(Domain domain)
    {
        if (_pages.Count == 0 || !_pages.TryGetValue(domain.Id, out PageFault? fault) || fault.Left-- > 0) return 0;
        _pages.Remove(domain.Id);
        return fault.Error;
    }

    internal bool TryDelayEvent(ushort domid, uint port)
    {
        if (_events.Count == 0 || !_events.TryGetValue((domid, port), out HeldPort? held) || held.Left == 0) return false;
        held.Left--;
        held.Sent++;
        return true;
    }

    internal void Forget(ushort domid)
    {
        _pages.Remove(domid);
        foreach ((ushort Domid, uint Port) key in _events.Keys.Where(key => key.Item1 == domid).ToArray()) _events.Remove(key);
    }

    private sealed class PageFault(int left, int error)
    {
        public int Left { get; set; } = left;

        public int Error { get; } = error;
    }

    private sealed class HeldPort(int left)
    {
        public int Left { get; set; } = left;

        public int Sent { get; set; }
    }
}

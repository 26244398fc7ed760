using XenMemoryProvider.Abi;
using XenModel.Domains;
using XenModel.EventChannels;
using XenModel.Faults;
using XenModel.Grants;
using XenModel.Ioreq;
using XenModel.Memory;

namespace XenModel;

/// <summary>
/// A user-space Xen: domains, and the hypercalls they make. Domain 0 exists from the start. Any thread may call; one lock,
/// the gate, makes each operation one step. Nobody waits while holding it.
/// </summary>
public sealed class Hypervisor : IDisposable
{
    private readonly Dictionary<ushort, Domain> _domains = [];
    private readonly List<Action<Domain>> _domainChanged = [];
    private ushort _lastId;
    private bool _disposed;

    public Hypervisor(HypervisorOptions? options = null)
    {
        Options = options ?? new HypervisorOptions();
        Faults = new FaultInjector(this);
        var dom0 = new DomainOptions
        {
            Name = "Domain-0",
            Type = Options.Dom0Type,
            MemoryMiB = Options.Dom0MemoryMiB,
            MaxEventChannelPort = EventFifo.ChannelCount - 1,
        };
        Dom0 = new Domain(this, 0, dom0, DomainBuilder.PagesOf(Options.Dom0MemoryMiB));
        _domains.Add(0, Dom0);
    }

    public HypervisorOptions Options { get; }

    /// <summary>The control and hardware domain. Its pages exist when they are granted.</summary>
    public Domain Dom0 { get; }

    public FaultInjector Faults { get; }

    /// <summary>All domains, those that are only waiting for their memory to be unmapped included.</summary>
    public IReadOnlyList<Domain> Domains
    {
        get
        {
            lock (Gate) return [.. _domains.Values.OrderBy(domain => domain.Id)];
        }
    }

    internal Lock Gate { get; } = new();

    /// <summary>Creates a domain as a toolstack does: memory, special pages, parameters.</summary>
    /// <exception cref="InvalidOperationException">The options make no domain, its name is taken, or there are as many as there may be.</exception>
    public Domain CreateDomain(DomainOptions options)
    {
        DomainBuilder.Validate(options);
        Domain domain;
        lock (Gate)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            if (_domains.Values.Any(other => other.Name == options.Name && !other.IsDying))
                throw new InvalidOperationException($"there is a domain named '{options.Name}' already");
            domain = new Domain(this, NextId(), options, DomainBuilder.MaxPages(options));
            domain.Pause();
            try
            {
                DomainBuilder.Build(domain);
            }
            catch
            {
                domain.Kill();
                throw;
            }

            _domains.Add(domain.Id, domain);
        }

        Changed(domain);
        if (!options.Paused) domain.Unpause();
        return domain;
    }

    /// <summary>Destroys a domain, whatever it does at the moment. Its memory stays while others map it.</summary>
    /// <returns>False: no such domain, or it is domain 0.</returns>
    public bool DestroyDomain(ushort domid)
    {
        Domain? domain;
        lock (Gate)
        {
            domain = domid == 0 ? null : FindLocked(domid);
            if (domain is null || domain.IsDying) return false;
            domain.Kill();
            Faults.Forget(domid);
        }

        RaiseDomainException(domain);
        return true;
    }

    /// <summary>A domain that has not been destroyed.</summary>
    public Domain? Find(ushort domid)
    {
        lock (Gate) return FindLocked(domid) is { IsDying: false } domain ? domain : null;
    }

    /// <summary>A domain that has not been destroyed, by its name.</summary>
    public Domain? Find(string name)
    {
        lock (Gate) return _domains.Values.FirstOrDefault(domain => domain.Name == name && !domain.IsDying);
    }

    /// <summary>Tells when a domain is created, stops or goes. Called without the gate, one change at a time in no fixed order.</summary>
    public void Watch(Action<Domain> changed)
    {
        lock (Gate) _domainChanged.Add(changed);
    }

    public void Dispose()
    {
        lock (Gate)
        {
            if (_disposed) return;
            _disposed = true;
            foreach (Domain domain in _domains.Values.OrderByDescending(domain => domain.Id).ToArray()) domain.Kill();

            // What others still map stays mapped there: their mappings are of the same memfd.
            foreach (Domain domain in _domains.Values) domain.Frames.Dispose();
            _domains.Clear();
        }
    }

    /// <summary>Any domain, dying ones included.</summary>
    internal Domain? FindLocked(ushort domid) => _domains.GetValueOrDefault(domid);

    internal int Hypercall(HypercallContext context, in Privcmd.Hypercall call, CallerMemory memory)
    {
        lock (Gate)
        {
            return (Hypercall)call.Op switch
            {
                XenMemoryProvider.Abi.Hypercall.MemoryOp => MemoryOps.Call(context, call.Arg0, call.Arg1, memory),
                XenMemoryProvider.Abi.Hypercall.GrantTableOp => GrantTableOps.Call(context, (uint)call.Arg0, call.Arg1, (uint)call.Arg2, memory),
                XenMemoryProvider.Abi.Hypercall.EventChannelOp => EventChannelOps.Call(context, (uint)call.Arg0, call.Arg1, memory),
                XenMemoryProvider.Abi.Hypercall.HvmOp => HvmOps.Call(context, call.Arg0, call.Arg1, memory),
                XenMemoryProvider.Abi.Hypercall.DmOp => DmOps.Call(context, (ushort)call.Arg0, (uint)call.Arg1, call.Arg2, memory),
                XenMemoryProvider.Abi.Hypercall.XenVersion => VersionOps.Call(call.Arg0, call.Arg1, memory),
                XenMemoryProvider.Abi.Hypercall.SchedOp => SchedOps.Call(context, call.Arg0, call.Arg1, memory),
                _ => -(int)XenErrno.ENOSYS,
            };
        }
    }

    internal int DmOp(HypercallContext context, ushort domid, int buffers, Span<byte> first, Span<byte> second)
    {
        lock (Gate) return DmOps.Call(context, domid, buffers, first, second);
    }

    /// <summary>A domain stopped or went: domain 0's toolstack and xenstored hear of it.</summary>
    internal void RaiseDomainException(Domain domain)
    {
        lock (Gate)
        {
            if (_disposed) return;
            Dom0.Events.RaiseVirq(Virq.DomExc);
        }

        // Watchers take locks of their own, so never under the gate, which the caller may hold.
        ThreadPool.UnsafeQueueUserWorkItem(static state => state.Hypervisor.Changed(state), domain, preferLocal: false);
    }

    /// <summary>Nobody uses a dead domain's memory any more.</summary>
    internal void Forget(Domain domain)
    {
        if (_disposed) return;
        if (_domains.GetValueOrDefault(domain.Id) == domain) _domains.Remove(domain.Id);
        domain.Frames.Discard();
    }

    private void Changed(Domain domain)
    {
        Action<Domain>[] watchers;
        lock (Gate) watchers = [.. _domainChanged];
        foreach (Action<Domain> watcher in watchers) watcher(domain);
    }

    private ushort NextId()
    {
        if (_domains.Count > Options.MaxDomains) throw new InvalidOperationException($"there are {Options.MaxDomains} domains already");
        do
        {
            _lastId = _lastId + 1 >= Domid.FirstReserved ? (ushort)1 : (ushort)(_lastId + 1);
        }
        while (_domains.ContainsKey(_lastId));

        return _lastId;
    }
}

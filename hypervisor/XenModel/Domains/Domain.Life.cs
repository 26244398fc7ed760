using XenMemoryProvider.Abi;

namespace XenModel.Domains;

public sealed partial class Domain
{
    /// <summary>Its virtual CPUs stop at their next entry into Xen until it is unpaused as often as it was paused.</summary>
    public void Pause()
    {
        lock (Hypervisor.Gate) _pauseCount++;
    }

    public void Unpause()
    {
        lock (Hypervisor.Gate)
        {
            if (_pauseCount == 0) return;
            if (--_pauseCount > 0) return;
            foreach (Vcpu vcpu in _vcpus) vcpu.Wake();
        }
    }

    /// <summary>The guest, or somebody for it, shuts it down.</summary>
    public void ShutDown(ShutdownReason reason)
    {
        lock (Hypervisor.Gate) ShutDownLocked(reason);
    }

    /// <exception cref="DomainStoppedException">It does not run any more.</exception>
    internal void ThrowIfStopped()
    {
        if (IsDying) throw new DomainStoppedException(Id, CrashReason ?? "destroyed");
        if (Shutdown is { } reason) throw new DomainStoppedException(Id, CrashReason ?? $"shut down ({reason})");
    }

    internal bool IsStopped => IsDying || Shutdown is not null;

    internal void ShutDownLocked(ShutdownReason reason)
    {
        if (IsStopped) return;
        Shutdown = reason;
        WakeVcpus();
        Hypervisor.RaiseDomainException(this);
    }

    /// <summary>Xen's reaction to what no sane guest or device model does.</summary>
    internal void Crash(string reason)
    {
        if (IsStopped) return;
        CrashReason = reason;
        ShutDownLocked(ShutdownReason.Crash);
    }

    /// <summary>Takes everything from it. Its frames stay while others map them.</summary>
    internal void Kill()
    {
        if (IsDying) return;
        IsDying = true;
        WakeVcpus();
        IoreqServers.DestroyAll();
        Grants.ReleaseMappings();
        Events.CloseAll();
        Grants.Release();
        P2m.Clear();
        SharedInfo.Release();
        Frames.Close();
    }

    private void WakeVcpus()
    {
        Interrupts.WakeAll();
        foreach (Vcpu vcpu in _vcpus)
        {
            vcpu.WakeAll();
            vcpu.Apic.WakeAll();
        }
    }
}

using XenMemoryProvider.Abi;

namespace XenModel.Domains;

/// <summary>Who calls, and what the default security policy lets him do.</summary>
/// <param name="Caller">The calling domain.</param>
/// <param name="Vcpu">The calling virtual CPU, when it is one of the model's; null for a process of the domain.</param>
internal readonly record struct HypercallContext(Domain Caller, Vcpu? Vcpu)
{
    public Hypervisor Hypervisor => Caller.Hypervisor;

    /// <summary>A domain by its number; not SELF.</summary>
    public Domain? Find(ushort domid) => Hypervisor.FindLocked(domid);

    /// <summary>A domain by its number or SELF.</summary>
    public Domain? FindAny(ushort domid) => domid == Domid.Self ? Caller : Find(domid);

    /// <summary>XSM_TARGET: the domain itself, who serves it, and the control domain.</summary>
    public bool MayTarget(Domain domain) => domain == Caller || MayModel(domain);

    /// <summary>XSM_DM_PRIV: who serves it, and the control domain.</summary>
    public bool MayModel(Domain domain) => Caller.IsControlDomain || Caller.Target == domain.Id;
}

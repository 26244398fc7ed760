namespace XenModel.Domains;

/// <summary>The domain was destroyed, crashed or shut down while one of its virtual CPUs was in Xen: unwinds that CPU's thread.</summary>
public sealed class DomainStoppedException(ushort domid, string reason) : Exception($"domain {domid} stopped: {reason}")
{
    public ushort Domid { get; } = domid;
}

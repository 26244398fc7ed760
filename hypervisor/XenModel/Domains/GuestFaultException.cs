namespace XenModel.Domains;

/// <summary>Xen injected an exception into the guest instead of finishing its instruction.</summary>
public sealed class GuestFaultException(byte vector, string reason) : Exception($"exception {vector} into the guest: {reason}")
{
    /// <summary>13 is a general protection fault.</summary>
    public byte Vector { get; } = vector;
}

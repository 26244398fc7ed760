using XenMemoryProvider.Kernel;
using XenModel.Domains;

namespace XenModel.Drivers;

/// <summary>The devices of a Linux in a domain of the model, in this process.</summary>
public sealed class ModelXenKernel : IXenKernel
{
    private readonly Hypervisor _hypervisor;
    private readonly Domain _caller;
    private readonly Func<ushort, Stream>? _xenstore;

    /// <param name="hypervisor">The Xen.</param>
    /// <param name="caller">The domain whose kernel this is; null for domain 0.</param>
    /// <param name="xenstore">Opens a connection to xenstore for a domain, if there is one.</param>
    public ModelXenKernel(Hypervisor hypervisor, Domain? caller = null, Func<ushort, Stream>? xenstore = null)
    {
        _hypervisor = hypervisor;
        _caller = caller ?? hypervisor.Dom0;
        _xenstore = xenstore;
    }

    /// <inheritdoc/>
    public IPrivcmd OpenPrivcmd() => new ModelPrivcmd(_hypervisor, _caller);

    /// <inheritdoc/>
    public IGntdev OpenGntdev() => new ModelGntdev(_hypervisor, _caller);

    /// <inheritdoc/>
    public IGntalloc OpenGntalloc() => new ModelGntalloc(_hypervisor, _caller);

    /// <inheritdoc/>
    public IEvtchn OpenEvtchn() => new ModelEvtchn(_hypervisor, _caller);

    /// <inheritdoc/>
    public Stream OpenXenstore() =>
        _xenstore?.Invoke(_caller.Id) ?? throw new XenException("xenstore", null, VhostXen.Linux.LibC.ECONNREFUSED, "This model was started without xenstore");
}

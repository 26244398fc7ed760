using XenMemoryProvider.Kernel.Linux;

namespace XenMemoryProvider.Kernel;

/// <summary>The Xen this Linux runs on, through the devices in /dev/xen.</summary>
public sealed class LinuxXenKernel : IXenKernel
{
    /// <inheritdoc/>
    public IPrivcmd OpenPrivcmd() => new LinuxPrivcmd();

    /// <inheritdoc/>
    public IGntdev OpenGntdev() => new LinuxGntdev();

    /// <inheritdoc/>
    public IGntalloc OpenGntalloc() => new LinuxGntalloc();

    /// <inheritdoc/>
    public IEvtchn OpenEvtchn() => new LinuxEvtchn();

    /// <inheritdoc/>
    public Stream OpenXenstore() => LinuxXenstore.Open();
}

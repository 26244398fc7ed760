using XenMemoryProvider.Kernel;
using XenModel;
using XenModel.Server;

namespace EndToEnd.Disks;

/// <summary>A user-space Xen that the daemon reaches over a socket.</summary>
internal sealed class XenHost(string socket) : IDisposable
{
    private readonly Lazy<(Hypervisor Xen, ModelServer Server)> _started = new(() =>
    {
        var xen = new Hypervisor();
        return (xen, new ModelServer(xen, socket));
    });

    public Hypervisor Xen => _started.Value.Xen;

    /// <summary>For the daemon's --xen.</summary>
    public string Option => XenKernels.ModelPrefix + socket;

    /// <summary>Devices that the daemon has open.</summary>
    public int OpenDevices => _started.Value.Server.ConnectionCount;

    public void Dispose()
    {
        if (!_started.IsValueCreated) return;
        _started.Value.Server.Dispose();
        _started.Value.Xen.Dispose();
    }
}

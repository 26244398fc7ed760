using VhostXen.Linux;
using XenMemoryProvider.Abi;
using XenMemoryProvider.Events;
using XenMemoryProvider.Ioreq;
using XenMemoryProvider.Kernel;
using static VhostXen.Linux.LibC;

/// <summary>
/// Boots the guest with an ioreq server of ours behind its PCI configuration ports: one function, a host bridge, and
/// nothing else anywhere. The kernel's scan of its bus is the traffic.
/// </summary>
internal sealed class IoreqBoot : IIoreqHandler, IDisposable
{
    private const uint HostBridge = 0x12378086;
    private const ushort ConfigAddressPort = 0xcf8;

    private readonly IPrivcmd _privcmd;
    private readonly EventChannels _events;
    private readonly DeviceModel _model;
    private readonly Epoll _epoll = new();
    private readonly EventFd _stop = EventFd.Create();
    private readonly Thread _thread;
    private readonly int[] _seen = new int[9];
    private IoreqServer? _server;
    private Exception? _failure;
    private int _bridgeReads;
    private ulong _configAddress;

    public IoreqBoot(LinuxXenKernel kernel, ushort guest)
    {
        _privcmd = kernel.OpenPrivcmd();
        _privcmd.Restrict(guest);
        _model = new DeviceModel(_privcmd, guest);
        _events = new EventChannels(kernel.OpenEvtchn());
        _events.Restrict(guest);
        _events.AddTo(_epoll, 0);
        _epoll.Add(_stop.Handle, EPOLLIN, 1);
        _thread = new Thread(Serve) { Name = "ioreq" };
    }

    public void Run(Report report, string name, string console)
    {
        report.Check("ioreq-server", () =>
        {
            _server = IoreqServer.Create(_model, _events);
            _server.MapPorts(ConfigAddressPort, ConfigAddressPort + 7);
            _server.MapPci(DmOp.PciSbdf(0, 0, 0, 0));
            _server.Enable();
            _thread.Start();
            return (true, $"id {_server.Id}, {_server.VcpuCount} vcpus, servers {string.Join(' ', IoreqServerLedger.Find(_model))}");
        });
        report.Check("ioreq-guest-boots", () =>
        {
            int unpaused = Lab.Xl("unpause", name);
            string? filled = Lab.WaitForLine(console, "GUEST filled", TimeSpan.FromSeconds(180));
            return (unpaused == 0 && filled is not null, filled ?? "the guest did not come that far");
        });
    }

    public void Summarize(Report report)
    {
        report.Check("ioreq-requests", () =>
        {
            _stop.Signal();
            _thread.Join();
            bool ok = _failure is null && _server is { Malformed: 0, Lost: 0 } && _bridgeReads > 0 && _seen[(int)IoreqType.Pio] > 0 && _seen[(int)IoreqType.Invalidate] > 0;
            return (ok, $"{_server?.Requests} requests: {_seen[0]} port, {_seen[2]} config ({_bridgeReads} of the bridge's id), {_seen[8]} invalidate; malformed {_server?.Malformed}, lost {_server?.Lost} {_failure?.Message}");
        });
        report.Check("ioreq-dispose", () =>
        {
            _server!.Dispose();
            return (IoreqServerLedger.Find(_model).Count == 0, "no server left");
        });
    }

    public bool Handle(in IoRequest request, out ulong value)
    {
        _seen[(int)request.Type]++;
        value = ulong.MaxValue;
        if (request is { Type: IoreqType.Pio, Address: ConfigAddressPort, Size: 4 })
        {
            // Linux takes the ports for a PCI bus when what it wrote can be read back.
            if (!request.IsRead) _configAddress = request.Value;
            value = _configAddress;
        }
        else if (request is { Type: IoreqType.PciConfig, IsRead: true, PciRegister: < 4 })
        {
            _bridgeReads++;
            value = HostBridge >> (request.PciRegister * 8);
        }
        else if (request is { Type: IoreqType.PciConfig, IsRead: true })
        {
            // Class host bridge; no BARs, no capabilities.
            value = request.PciRegister is >= 8 and < 12 ? 0x06000000u >> ((request.PciRegister - 8) * 8) : 0;
        }
        return true;
    }

    public void Dispose()
    {
        _server?.Dispose();
        _events.Dispose();
        _privcmd.Dispose();
        _epoll.Dispose();
        _stop.Dispose();
    }

    private void Serve()
    {
        try
        {
            Span<epoll_event> ready = stackalloc epoll_event[2];
            Span<uint> ports = stackalloc uint[16];
            _server!.ServeAll(this);
            while (true)
            {
                int count = _epoll.Wait(ready, -1);
                for (int i = 0; i < count; i++)
                {
                    if (ready[i].data == 1) return;
                }
                for (int taken; (taken = _events.Take(ports)) != 0;)
                {
                    foreach (uint port in ports[..taken]) _server.Serve(port, this);
                }
            }
        }
        catch (Exception e)
        {
            _failure = e;
        }
    }
}

using System.Diagnostics;
using System.Globalization;
using System.Text;
using VhostXen.Linux;
using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;

namespace Conformance.Machines;

/// <summary>The Xen that this process's domain 0 runs on, with guests that the lab's suite created.</summary>
/// <param name="pvh">See <see cref="Run.Pvh"/>.</param>
/// <param name="hvm">See <see cref="Run.Hvm"/>.</param>
/// <param name="guestConfig">xl's configuration file of the guests that scripts create.</param>
internal sealed class XenMachine(ushort pvh, ushort hvm, string guestConfig) : Machine
{
    private readonly List<IDisposable> _open = [];
    private int _guests;
    private Agent? _agent;

    public override string Title => $"Xen {Version()}";

    public override IXenKernel Kernel { get; } = new LinuxXenKernel();

    public override ushort Pvh => pvh;

    public override ushort Hvm => hvm;

    public override ushort CreateVictim() => Create("-p");

    public override Agent Agent
    {
        get
        {
            if (_agent is { IsAlive: true }) return _agent;
            _agent?.Dispose();
            return _agent = CreateAgent();
        }
    }

    public override Stream OpenGuestStore()
    {
        using IPrivcmd privcmd = Kernel.OpenPrivcmd();
        int[] errors = new int[1];
        XenException.Check(privcmd.GetHvmParam(Agent.Domid, HvmParam.StorePfn, out ulong gfn), "get_param", Agent.Domid);
        XenException.Check(privcmd.GetHvmParam(Agent.Domid, HvmParam.StoreEvtchn, out ulong port), "get_param", Agent.Domid);
        return new RingStream(privcmd.MapForeign(Agent.Domid, [gfn], 3, errors, TimeSpan.Zero), Agent, (uint)port);
    }

    public override Agent CreateAgent()
    {
        ushort domid = Create("-q");
        IPrivcmd privcmd = Kernel.OpenPrivcmd();
        IEvtchn evtchn = Kernel.OpenEvtchn();
        _open.AddRange([evtchn, privcmd]);
        return new XenAgent(privcmd, evtchn, domid);
    }

    public override void Destroy(ushort domid) => Xl("destroy", domid.ToString(CultureInfo.InvariantCulture));

    public override void Dispose()
    {
        _agent?.Dispose();
        foreach (IDisposable device in _open) device.Dispose();
    }

    private ushort Create(string option)
    {
        string name = string.Create(CultureInfo.InvariantCulture, $"guest{++_guests}");
        Xl("create", "-q", option, guestConfig, $"name=\"{name}\"");
        return ushort.Parse(Xl("domid", name), CultureInfo.InvariantCulture);
    }

    private string Version()
    {
        const ulong version = 0, extraVersion = 1;
        using IPrivcmd privcmd = Kernel.OpenPrivcmd();
        using HypercallBuffer buffer = privcmd.AllocateBuffer(XenPage.Size);
        int number = privcmd.Hypercall(new Privcmd.Hypercall { Op = (ulong)Hypercall.XenVersion, Arg0 = version }, buffer);
        ulong text = buffer.Put<byte>(new byte[16]);
        _ = privcmd.Hypercall(new Privcmd.Hypercall { Op = (ulong)Hypercall.XenVersion, Arg0 = extraVersion, Arg1 = text }, buffer);
        return $"{number >> 16}.{number & 0xffff}{Encoding.ASCII.GetString(buffer.Span<byte>(text, 16)).TrimEnd('\0')}";
    }

    private static string Xl(params string[] arguments)
    {
        using Process xl = Process.Start(new ProcessStartInfo("xl", arguments) { RedirectStandardOutput = true })!;
        string output = xl.StandardOutput.ReadToEnd().Trim();
        xl.WaitForExit();
        return xl.ExitCode == 0 ? output : throw new XenException($"xl {arguments[0]}", null, LibC.EIO, $"xl exited with {xl.ExitCode}");
    }
}

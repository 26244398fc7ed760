using System.Globalization;
using GuestKit;
using XenMemoryProvider.Kernel;
using XenMemoryProvider.Kernel.Sockets;
using XenMemoryProvider.Store;

namespace Demo.Embedded;

/// <summary>`xenmodel serve` as a process, and the toolstack's words to it.</summary>
internal sealed class XenProcess
{
    private static readonly string Executable = Path.Combine(Repository.Root, "hypervisor", "XenModel", "bin", Repository.Configuration, "net10.0", "xenmodel");

    private readonly SocketXenKernel _kernel;

    private XenProcess(DaemonProcess process, string socket)
    {
        Process = process;
        Socket = socket;
        _kernel = new SocketXenKernel(socket);
    }

    public DaemonProcess Process { get; }

    public string Socket { get; }

    /// <summary>For the --xen option of those who use it.</summary>
    public string Option => XenKernels.ModelPrefix + Socket;

    /// <param name="architecture">x86 or arm.</param>
    public static async Task<XenProcess> StartAsync(GuestRun run, string architecture)
    {
        string socket = run.PathOf($"xen-{architecture}.sock");
        DaemonProcess process = await DaemonProcess.StartAsync(run, "xenmodel", new CommandLine(Executable, ["serve", "--socket", socket, "--arch", architecture]), [socket]);
        return new XenProcess(process, socket);
    }

    public XenStore OpenStore() => XenStore.Open(_kernel);

    /// <summary>Creates a paused domain.</summary>
    /// <returns>Its number.</returns>
    public ushort Create(string name, int memoryMiB) => ushort.Parse(Say($"create name={name},memory={memoryMiB},vcpus={DemoSize.Queues}").Split(' ')[1], CultureInfo.InvariantCulture);

    public string Say(string command) => _kernel.Command(command).TrimEnd();

    /// <summary>What a guest has done so far; waits a moment for its end.</summary>
    public async Task<GuestReport> ReportAsync(string name, int milliseconds) => GuestReport.Parse(await Task.Run(() => Say($"report {name} {milliseconds}")));

    /// <summary>ioreq servers of all domains.</summary>
    public int IoreqServers => Say("list").Split('\n').Sum(static line =>
    {
        string[] words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        return int.Parse(words[Array.IndexOf(words, "ioreq") - 1], CultureInfo.InvariantCulture);
    });
}

using System.Globalization;
using System.Net.Sockets;
using System.Text;
using GuestKit;

namespace Demo.Embedded;

/// <summary>`xen-vhost-master` as a process, and its control socket.</summary>
internal sealed class MasterProcess
{
    private static readonly string Executable = Path.Combine(Repository.Root, "src", "XenVhostMaster", "bin", Repository.Configuration, "net10.0", "xen-vhost-master");
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);

    private readonly string _control;

    private MasterProcess(DaemonProcess process, string control)
    {
        Process = process;
        _control = control;
    }

    public DaemonProcess Process { get; }

    public static async Task<MasterProcess> StartAsync(GuestRun run, XenProcess xen, string name, params string[] arguments)
    {
        string control = run.PathOf($"{name}.ctl");
        DaemonProcess process = await DaemonProcess.StartAsync(run, "master", new CommandLine(Executable, [$"--xen={xen.Option}", $"--control={control}", .. arguments]), [control]);
        return new MasterProcess(process, control);
    }

    /// <summary>Waits until a domain is served, and returns what `ctl list` says of it and its device.</summary>
    public async Task<string> WaitForAsync(ushort domid)
    {
        long end = Environment.TickCount64 + (long)Deadline.TotalMilliseconds;
        while (true)
        {
            string[] lines = (await ListAsync()).Split('\n');
            int at = Array.FindIndex(lines, line => line.Contains($" domain={domid} ", StringComparison.Ordinal));
            if (at >= 0 && at + 1 < lines.Length && lines[at + 1].StartsWith("  ", StringComparison.Ordinal))
                return lines[at] + lines[at + 1];

            if (Process.Exited.IsCompleted || Environment.TickCount64 > end)
                throw new GuestRunException($"xen-vhost-master does not serve domain {domid}");

            await Task.Delay(20);
        }
    }

    /// <summary>A number of `ctl list`'s text.</summary>
    public static long Number(string text, string key)
    {
        string word = text.Split(' ').First(word => word.StartsWith(key + "=", StringComparison.Ordinal));
        return long.Parse(word[(key.Length + 1)..], CultureInfo.InvariantCulture);
    }

    private async Task<string> ListAsync()
    {
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await socket.ConnectAsync(new UnixDomainSocketEndPoint(_control));
        await using var stream = new NetworkStream(socket);
        await stream.WriteAsync(Encoding.UTF8.GetBytes("list\n"));
        using var reader = new StreamReader(stream);
        return await reader.ReadToEndAsync();
    }
}

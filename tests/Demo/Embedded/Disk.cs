using GuestKit;
using XenModel.Guests;
using XenModel.Guests.Disks;

namespace Demo.Embedded;

/// <summary>A disk image, the `vhostxen-blk` that serves it, and what the guests did to it over all their lives.</summary>
internal sealed class Disk
{
    private readonly GuestRun _run;
    private readonly XenProcess _xen;
    private readonly DiskImage _image;

    private Disk(GuestRun run, XenProcess xen, string name, long size)
    {
        _run = run;
        _xen = xen;
        Name = name;
        Size = size;
        _image = DiskImage.Create(run, $"{name}.img", size);
        Socket = run.PathOf($"{name}.sock");
        Seed = (ulong)Random.Shared.NextInt64(1, 1L << 40);
    }

    public string Name { get; }

    public long Size { get; }

    public string Socket { get; }

    /// <summary>Names what the guests write.</summary>
    public ulong Seed { get; }

    /// <summary>Requests per queue so far.</summary>
    public int Requests { get; set; }

    public DaemonProcess Daemon { get; private set; } = null!;

    public static async Task<Disk> StartAsync(GuestRun run, XenProcess xen, string name, long size)
    {
        var disk = new Disk(run, xen, name, size);
        await disk.StartDaemonAsync();
        return disk;
    }

    /// <summary>The daemon crashes, and another takes its place.</summary>
    public async Task KillAndRestartAsync()
    {
        await Daemon.KillAsync();
        File.Delete(Socket);
        await StartDaemonAsync();
    }

    /// <summary>The host's own look at the image.</summary>
    /// <returns>Whether every byte is what the guests wrote, and how many were compared or why not.</returns>
    public (bool Good, string Result) Compare()
    {
        try
        {
            return (true, $"{DiskImageCheck.Run(_image.Path, Seed, DemoSize.Queues, Requests) >> 20} MiB compared");
        }
        catch (GuestCheckException e)
        {
            return (false, e.Message);
        }
    }

    private async Task StartDaemonAsync()
    {
        string[] arguments = [$"--socket-path={Socket}", $"--blk-file={_image.Path}", $"--num-queues={DemoSize.Queues}", $"--xen={_xen.Option}"];
        Daemon = await DaemonProcess.StartAsync(_run, "vhostxen-blk", new CommandLine(VhostXenBlk.Executable, arguments), [Socket]);
    }
}

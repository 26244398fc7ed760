using GuestKit;
using VhostUser.Protocol;

namespace EndToEnd.Disks;

/// <summary>A daemon with an image of random bytes, and the guest that it serves.</summary>
internal sealed class ServedDisk
{
    private readonly string _socket;
    private readonly string _path;

    private ServedDisk(string socket, string path, byte[] image, DaemonProcess daemon, DiskGuest guest)
    {
        _socket = socket;
        _path = path;
        Image = image;
        Daemon = daemon;
        Guest = guest;
    }

    /// <summary>What the disk should hold.</summary>
    public byte[] Image { get; }

    public DaemonProcess Daemon { get; }

    public DiskGuest Guest { get; }

    public static async Task<ServedDisk> StartAsync(GuestRun run, DiskGuest guest, int bytes)
    {
        string socket = run.PathOf("disk.sock"), path = run.PathOf("disk.img");
        var image = new byte[bytes];
        new Random(1).NextBytes(image);
        await File.WriteAllBytesAsync(path, image);
        string[] arguments = [$"--socket-path={socket}", $"--blk-file={path}", "--num-queues=2", $"--xen={guest.Xen}"];
        DaemonProcess daemon = await DaemonProcess.StartAsync(run, "vhostxen-blk", new CommandLine(VhostXenBlk.Executable, arguments), [socket]);
        return new ServedDisk(socket, path, image, daemon, guest);
    }

    public Task<DiskDriver> ConnectAsync(ulong ringFeatures = VirtioFeatures.IndirectDesc | VirtioFeatures.EventIdx) =>
        DiskDriver.ConnectAsync(_socket, Guest, ringFeatures: ringFeatures);

    /// <summary>Connects as another guest.</summary>
    public Task<DiskDriver> ConnectAsync(DiskGuest other) => DiskDriver.ConnectAsync(_socket, other);

    public byte[] FileBytes() => File.ReadAllBytes(_path);
}

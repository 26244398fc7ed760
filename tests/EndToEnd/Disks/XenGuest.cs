using VhostUser.Protocol;
using VhostXen.Linux;
using XenMemoryProvider.Kernel;
using XenMemoryProvider.Tests.OnModel;
using static VhostXen.Linux.LibC;

namespace EndToEnd.Disks;

/// <summary>A guest of the user-space Xen, which serves the daemon over a socket; its processor's view of its memory is a mapping here.</summary>
internal abstract unsafe class XenGuest : DiskGuest
{
    public const int MemoryMiB = 32;

    private readonly IPrivcmd _privcmd;
    private readonly XenMapping _view;

    private static int s_guests;

    protected XenGuest(XenHost host)
    {
        Host = host;
        Guest = new ModelGuest(MemoryMiB, xen: host.Xen, name: $"guest{Interlocked.Increment(ref s_guests)}");
        _privcmd = Guest.Kernel.OpenPrivcmd();
        _view = _privcmd.MapForeignRange(Guest.Id, 0, MemoryMiB * 256, PROT_READ | PROT_WRITE, TimeSpan.Zero, static (_, _) => { });
        NoFile = FileDescriptor.Open("/dev/null", O_RDWR);
    }

    public override string Xen => Host.Option;

    public XenHost Host { get; }

    public ModelGuest Guest { get; }

    /// <summary>Goes with every region, as the wire wants it; nobody may look into it.</summary>
    protected FileDescriptor NoFile { get; }

    protected nint View(ulong guestPhysical) => (nint)(_view.Pointer + guestPhysical);

    protected MemoryRegion Region(GuestAddress address, ulong size, FrontendAddress user, XenMmapFlags flags) =>
        new(address, size, user, 0, flags, Guest.Id);

    public override void Dispose()
    {
        base.Dispose();
        _view.Dispose();
        _privcmd.Dispose();
        Guest.Dispose();
    }
}

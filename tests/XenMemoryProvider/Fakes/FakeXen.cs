using System.Collections.Concurrent;
using VhostXen.Linux;
using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using static VhostXen.Linux.LibC;

namespace XenMemoryProvider.Tests.Fakes;

/// <summary>An <see cref="IXenKernel"/> with one guest whose memory is a file in this process; what it answers is the test's to choose.</summary>
internal sealed unsafe class FakeXen : IXenKernel, IXenMappingOwner, IDisposable
{
    private readonly MappedMemory _memory;

    public FakeXen(ulong frames = 64)
    {
        Frames = frames;
        File = MemFd.Create("guest", frames * XenPage.Size);
        Resource = MemFd.Create("resource", 2 * XenPage.Size);
        _memory = MappedMemory.Map(File, 0, (nuint)frames * XenPage.Size);
        Slots = MappedMemory.Map(Resource, 0, 2 * XenPage.Size);
    }

    public ulong Frames { get; }

    public FileDescriptor File { get; }

    public FileDescriptor Resource { get; }

    /// <summary>Xen's view of the ioreq pages.</summary>
    public MappedMemory Slots { get; }

    /// <summary>Frames that cannot be mapped, with their negative errno.</summary>
    public Dictionary<ulong, int> Missing { get; } = [];

    public int MapForeignError { get; set; }

    public int MapResourceError { get; set; }

    public int RestrictError { get; set; }

    public FakePrivcmd.DmOpHandler OnDmOp { get; set; } = (ushort _, ref DmOp.Call _, Span<byte> _) => -ENOSYS;

    public Func<Privcmd.Hypercall, HypercallBuffer, int> OnHypercall { get; set; } = (_, _) => -ENOSYS;

    public ConcurrentBag<string> Log { get; } = [];

    public int LiveMappings;

    public int OpenDevices;

    /// <summary>The next opening of this device fails with ENOENT.</summary>
    public string? AbsentDevice { get; set; }

    public FakeGntdev Grants { get => field ??= new FakeGntdev(this); }

    public byte* Frame(ulong gfn) => _memory.Pointer + (gfn * XenPage.Size);

    public Span<byte> Page(ulong gfn) => new(Frame(gfn), XenPage.Size);

    public IPrivcmd OpenPrivcmd() => Open("privcmd", new FakePrivcmd(this));

    public IGntdev OpenGntdev() => Open("gntdev", Grants);

    public IGntalloc OpenGntalloc() => throw new NotSupportedException();

    public IEvtchn OpenEvtchn() => Open("evtchn", new FakeEvtchn());

    public Stream OpenXenstore() => throw new NotSupportedException();

    public void Unmapped(XenMapping mapping, ulong token) => Interlocked.Decrement(ref LiveMappings);

    /// <summary>Puts a frame over a page of a reservation.</summary>
    public void Place(byte* at, ulong gfn, int prot)
    {
        // SAFETY: inside the caller's own reservation, which is unmapped as a whole.
        void* placed = mmap(at, XenPage.Size, prot, MAP_SHARED | MAP_FIXED, File.Value, (long)(gfn * XenPage.Size));
        if ((nint)placed == MAP_FAILED) throw SystemCallException.FromErrno("mmap");
    }

    public void Dispose()
    {
        _memory.Dispose();
        Slots.Dispose();
        File.Dispose();
        Resource.Dispose();
    }

    private T Open<T>(string device, T opened)
    {
        if (AbsentDevice == device) throw new XenException($"open /dev/xen/{device}", null, ENOENT);
        Log.Add($"open {device}");
        Interlocked.Increment(ref OpenDevices);
        return opened;
    }
}

using VhostUser.Memory;
using VhostUser.Protocol;
using VhostUser.Session;
using VhostXen.Linux;

namespace TestKit;

/// <summary>
/// A guest's memory: one memfd, several regions, mapped here as a front-end maps it. Give <see cref="File"/> and
/// <see cref="Regions"/> to a back-end over a socket, or <see cref="Map"/> it again in this process.
/// </summary>
public sealed unsafe class TestMemory : IDisposable
{
    private const ulong PageSize = 4096;
    private readonly MappedMemory? _mapping;
    private readonly byte*[] _at;
    private readonly ulong[] _next;

    /// <summary>Three regions: one at 0, and two that are neighbours for the guest but not in the file.</summary>
    public TestMemory()
        : this((0UL, 2UL << 20), (0x1_0000_0000UL, 1UL << 20), (0x1_0010_0000UL, 1UL << 20))
    {
    }

    /// <param name="regions">Guest address and size in bytes of each, multiples of 4096.</param>
    public TestMemory(params ReadOnlySpan<(ulong Guest, ulong Size)> regions)
    {
        // In the file they lie backwards, so that neighbours for the guest are no neighbours here.
        ulong total = 0;
        foreach ((ulong _, ulong size) in regions)
            total += size;

        File = MemFd.Create("guest", total);
        _mapping = MappedMemory.Map(File, 0, (nuint)total);
        MemoryRegion[] described = new MemoryRegion[regions.Length];
        _at = new byte*[regions.Length];
        ulong offset = total;
        for (int i = 0; i < regions.Length; i++)
        {
            offset -= regions[i].Size;
            _at[i] = _mapping.Pointer + offset;
            described[i] = new MemoryRegion(
                new GuestAddress(regions[i].Guest), regions[i].Size, new FrontendAddress((ulong)_mapping.Pointer + offset), offset);
        }

        Regions = described;

        // Address 0 is a fine guest address, but a test that forgets one should not find it valid.
        _next = [.. described.Select(static region => region.GuestAddress.Value == 0 ? PageSize : region.GuestAddress.Value)];
    }

    /// <summary>Memory that somebody else made and keeps longer: a guest of a user-space Xen.</summary>
    /// <param name="file">What goes with every region; closed by this object.</param>
    /// <param name="regions">What the back-end is told, and where it is in this process.</param>
    public TestMemory(FileDescriptor file, params ReadOnlySpan<(MemoryRegion Region, nint At)> regions)
    {
        File = file;
        MemoryRegion[] described = new MemoryRegion[regions.Length];
        _at = new byte*[regions.Length];
        for (int i = 0; i < regions.Length; i++)
        {
            described[i] = regions[i].Region;
            _at[i] = (byte*)regions[i].At;
        }

        Regions = described;
        _next = [.. described.Select(static region => region.GuestAddress.Value)];
    }

    public FileDescriptor File { get; }

    public IReadOnlyList<MemoryRegion> Regions { get; }

    /// <summary>An address in no region.</summary>
    public static GuestAddress Outside => new(0xdead_0000_0000);

    /// <summary>Takes memory that nothing else uses, zeroed; it is never given back.</summary>
    public GuestAddress Allocate(int length, int alignment = 16, int region = 0)
    {
        MemoryRegion where = Regions[region];
        ulong start = (_next[region] + (ulong)alignment - 1) & ~((ulong)alignment - 1);
        if ((ulong)length > where.GuestAddress.Value + where.Size - start)
            throw new InvalidOperationException($"the test's region {region} is full");

        _next[region] = start + (ulong)length;
        return new GuestAddress(start);
    }

    /// <summary>A buffer for a chain, of its own memory.</summary>
    public GuestRange Buffer(int length, bool writable, int region = 0) => new(Allocate(length, 16, region), (uint)length, writable);

    /// <summary>Where a guest address is mapped here. The whole range lies in one region.</summary>
    public byte* At(GuestAddress address, ulong length = 1)
    {
        for (int i = 0; i < _at.Length; i++)
        {
            MemoryRegion region = Regions[i];
            ulong offset = address.Value - region.GuestAddress.Value;
            if (address.Value >= region.GuestAddress.Value && offset < region.Size && length <= region.Size - offset)
                return _at[i] + offset;
        }

        throw new ArgumentOutOfRangeException(nameof(address), $"{address} and {length} bytes are in no region");
    }

    public Span<byte> Span(GuestAddress address, int length) => new(At(address, (ulong)length), length);

    public Span<byte> Span(GuestRange range) => Span(range.Address, (int)range.Length);

    /// <summary>The address that this front-end sends for ring memory.</summary>
    public FrontendAddress ToUser(GuestAddress address) => new((ulong)At(address));

    /// <summary>The regions as a <see cref="FrontendSession"/> shares them, where it is one file.</summary>
    public IReadOnlyList<FrontendRegion> Shared => [.. Regions.Select(region => new FrontendRegion(region, File))];

    /// <summary>Every byte of guest memory, where it is one mapping.</summary>
    public Span<byte> All => (_mapping ?? throw new NotSupportedException("not memory of its own")).Span;

    /// <summary>Maps the regions once more, as a back-end does. The caller disposes the regions: <see cref="MappedGuest"/>.</summary>
    public MappedGuest Map(IGuestMemoryProvider? provider = null) => new(this, provider ?? new SharedFileProvider());

    public void Dispose()
    {
        _mapping?.Dispose();
        File.Dispose();
    }
}

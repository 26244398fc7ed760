using VhostUser.Memory;
using VhostUser.Protocol;
using VhostXen.Linux;
using XenMemoryProvider.Abi;
using XenMemoryProvider.Memory;
using Xunit;
using static VhostXen.Linux.LibC;

namespace XenMemoryProvider.Tests.OnModel;

/// <summary>Grants of a guest that changes its mind.</summary>
public sealed unsafe class GrantsOnModelTests : IDisposable
{
    private const GrantFlags InUse = GrantFlags.Reading | GrantFlags.Writing;

    private readonly ModelGuest _guest = new();
    private readonly FileDescriptor _nothing = FileDescriptor.Open("/dev/null", O_RDWR);

    public void Dispose()
    {
        _nothing.Dispose();
        _guest.Dispose();
    }

    [Fact]
    public void Ring_MappedInAdvance_IsInUseUntilDisposed()
    {
        uint reference = _guest.Grant(0x20, pages: 2);
        using (RegionMapping ring = Provider(0).Map(new MemoryRegion(ModelGuest.Address(reference, 0x100), 0x1800, default, 0, XenMmapFlags.Grant, _guest.Id), _nothing))
        {
            ring.Pointer[0] = 0x5a;
            Assert.Equal(0x5a, _guest.Domain.Memory.Read<byte>(0x20100));
            Assert.False(_guest.TryRevoke(reference + 1));
        }

        Assert.True(_guest.TryRevoke(reference));
        Assert.True(_guest.TryRevoke(reference + 1));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(65536)]
    public void Chain_ReadsAndWrites_AndIsInUseOnlyMeanwhile(int copyLimit)
    {
        using RegionMapping all = OnDemand(copyLimit);
        uint readable = _guest.Grant(0x20, pages: 2, readOnly: true), writable = _guest.Grant(0x30, pages: 2);
        _guest.Domain.Memory.Write(0x20ff8, 0x1122334455667788UL);
        GuestRange[] chain = [new(ModelGuest.Address(readable, 0xff8), 16, false), new(ModelGuest.Address(writable, 0xffe), 4, true)];
        var iovecs = new iovec[2];

        Assert.True(all.OnDemand!.TryMap(chain, iovecs, out ulong token));

        Assert.Equal(0x1122334455667788UL, *(ulong*)iovecs[0].iov_base);
        Assert.Equal(copyLimit == 0, (_guest.FlagsOf(readable) & InUse) == GrantFlags.Reading);
        Assert.Equal(copyLimit == 0, (_guest.FlagsOf(writable + 1) & GrantFlags.Writing) != 0);
        *(uint*)iovecs[1].iov_base = 0xaabbccdd;
        all.OnDemand.Release(token);

        Assert.Equal(0xaabbccddU, _guest.Domain.Memory.Read<uint>(0x30ffe));
        for (uint i = 0; i < 2; i++) Assert.True(_guest.TryRevoke(readable + i) && _guest.TryRevoke(writable + i));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(65536)]
    public void Chain_OfReadOnlyGrantToWrite_NeverWrites(int copyLimit)
    {
        using RegionMapping all = OnDemand(copyLimit);
        uint reference = _guest.Grant(0x20, readOnly: true);
        var iovecs = new iovec[1];
        if (all.OnDemand!.TryMap([new(ModelGuest.Address(reference), 8, true)], iovecs, out ulong token))
        {
            *(ulong*)iovecs[0].iov_base = 7;
            all.OnDemand.Release(token);
        }

        Assert.Equal(0UL, _guest.Domain.Memory.Read<ulong>(0x20000));
        Assert.True(_guest.TryRevoke(reference));
    }

    [Fact]
    public void Chain_EntryInvalidatedWhileMapped_KeepsItsPage()
    {
        using RegionMapping all = OnDemand(0);
        uint reference = _guest.Grant(0x20);
        var iovecs = new iovec[1];
        Assert.True(all.OnDemand!.TryMap([new(ModelGuest.Address(reference), 4096, true)], iovecs, out ulong token));
        Assert.False(_guest.TryRevoke(reference));

        // The guest gives the page away under the mapping: Xen keeps it for us.
        Assert.Equal(1, _guest.Balloon(0x20));
        new Span<byte>(iovecs[0].iov_base, 4096).Fill(1);
        all.OnDemand.Release(token);

        Assert.True(_guest.TryRevoke(reference));
        Assert.False(all.OnDemand.TryMap([new(ModelGuest.Address(reference), 4096, true)], iovecs, out _));
    }

    [Fact]
    public void Chain_DomainDiesInMidRequest_ReleasesAndGoesOnFailing()
    {
        RegionMapping all = OnDemand(64);
        uint reference = _guest.Grant(0x20, pages: 3);
        var iovecs = new iovec[2];
        GuestRange[] chain = [new(ModelGuest.Address(reference), 8192, false), new(ModelGuest.Address(reference + 2), 1, true)];
        Assert.True(all.OnDemand!.TryMap(chain, iovecs, out ulong token));

        Assert.True(_guest.Xen.DestroyDomain(_guest.Id));
        byte seen = ((byte*)iovecs[0].iov_base)[8191];
        *(byte*)iovecs[1].iov_base = 1;
        all.OnDemand.Release(token);

        Assert.Equal(0, seen);
        Assert.False(all.OnDemand.TryMap(chain, iovecs, out _));
        Assert.False(all.OnDemand.TryRead(ModelGuest.Address(reference).Value, new byte[16]));
        all.Dispose();
        Assert.DoesNotContain(_guest.Xen.Domains, domain => domain.Id == _guest.Id);
    }

    [Fact]
    public void Chain_GrantToAnotherDomain_IsRefused()
    {
        using var other = new ModelGuest(xen: _guest.Xen, name: "other");
        using RegionMapping all = OnDemand(0);
        uint theirs = other.Grant(0x20);

        // Our guest names a reference that only the other one has.
        Assert.False(all.OnDemand!.TryMap([new(ModelGuest.Address(theirs + 5), 16, false)], new iovec[1], out _));
        Assert.Equal(GrantFlags.PermitAccess, other.FlagsOf(theirs));
    }

    [Fact]
    public void TryRead_IndirectTableAcrossPages_IsCopied()
    {
        using RegionMapping all = OnDemand(0);
        uint reference = _guest.Grant(0x20, pages: 2, readOnly: true);
        for (ulong i = 0; i < 32; i++) _guest.Domain.Memory.Write(0x20f80 + (i * 8), i);
        var table = new byte[256];

        Assert.True(all.OnDemand!.TryRead(ModelGuest.Address(reference, 0xf80).Value, table));

        Assert.Equal(31UL, BitConverter.ToUInt64(table, 248));
        Assert.True(_guest.TryRevoke(reference));
    }

    private XenGuestMemoryProvider Provider(int copyLimit) => new(_guest.Kernel, new XenMemoryOptions { CopyLimit = copyLimit });

    private RegionMapping OnDemand(int copyLimit) => Provider(copyLimit).Map(
        new MemoryRegion(new GuestAddress(ModelGuest.GrantBit), 1UL << 60, default, 0, XenMmapFlags.Grant | XenMmapFlags.NoAdvanceMap, _guest.Id), _nothing);
}

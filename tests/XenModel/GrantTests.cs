using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using XenModel.Domains;
using Xunit;
using static XenModel.Tests.ModelFixture;

namespace XenModel.Tests;

public sealed class GrantInProcessTests() : GrantTests(overSocket: false);

public sealed class GrantOverSocketTests() : GrantTests(overSocket: true);

public abstract unsafe class GrantTests(bool overSocket) : KernelTests(overSocket)
{
    private const GrantFlags Marks = GrantFlags.Reading | GrantFlags.Writing;

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Map_MarksTheEntry_AndUnmapClears(int version)
    {
        using var model = New();
        using IGntdev gntdev = model.Kernel.OpenGntdev();
        SetVersion(model, version);
        uint reference = Grant(model, 5);
        model.Guest.Memory.Write(5 << 12, 99UL);
        Assert.Equal(0, gntdev.Map([new(model.Domid, reference)], writable: false, out GrantMapping read));
        Assert.Equal(GrantFlags.Reading, Used(model, reference));
        Assert.Equal(99UL, *(ulong*)read.Address);
        Assert.Equal(0, gntdev.Map([new(model.Domid, reference)], writable: true, out GrantMapping write));
        Assert.Equal(Marks, Used(model, reference));
        *(ulong*)write.Address = 100;
        Assert.Equal(100UL, model.Guest.Memory.Read<ulong>(5 << 12));
        Assert.Equal(0, gntdev.Unmap(write));
        Assert.Equal(GrantFlags.Reading, Used(model, reference));
        Assert.Equal(0, gntdev.Unmap(read));
        Assert.Equal(GrantFlags.Invalid, Used(model, reference));
        Assert.Equal(Errno(XenErrno.ENOENT), gntdev.Unmap(read));
    }

    [Fact]
    public void Map_IsAllOrNothing()
    {
        using var model = New();
        using IGntdev gntdev = model.Kernel.OpenGntdev();
        uint good = Grant(model, 5), readOnly = Grant(model, 6, readOnly: true);
        Assert.Equal(Errno(XenErrno.EINVAL), gntdev.Map([new(model.Domid, good), new(model.Domid, readOnly)], writable: true, out _));
        Assert.Equal(GrantFlags.Invalid, Used(model, good));
        Assert.Equal(0, model.Xen.Dom0.Grants.Tracked.Count);
        Assert.Equal(0, gntdev.Map([new(model.Domid, good), new(model.Domid, readOnly)], writable: false, out GrantMapping both));
        Assert.Equal(2, both.Pages);
        gntdev.Unmap(both);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Revoke_WhileMapped_Waits(int version)
    {
        using var model = New();
        using IGntdev gntdev = model.Kernel.OpenGntdev();
        SetVersion(model, version);
        uint reference = Grant(model, 5);
        gntdev.Map([new(model.Domid, reference)], writable: true, out GrantMapping mapping);
        bool revoked = false;
        lock (model.Xen.Gate) model.Guest.GrantAllocator.Revoke(reference, () => revoked = true);
        Assert.False(revoked);
        Assert.Equal(1, model.Guest.GrantAllocator.Deferred);
        gntdev.Unmap(mapping);
        lock (model.Xen.Gate) model.Guest.GrantAllocator.RetryDeferred();
        Assert.True(revoked);
        Assert.Equal(Errno(XenErrno.EINVAL), gntdev.Map([new(model.Domid, reference)], writable: true, out _));
    }

    [Fact]
    public void Map_EntryRewrittenWhileMapped_KeepsTheOldPage()
    {
        using var model = New();
        using IGntdev gntdev = model.Kernel.OpenGntdev();
        uint reference = Grant(model, 5);
        gntdev.Map([new(model.Domid, reference)], writable: true, out GrantMapping first);
        model.Guest.Grants.EntryV1(reference)->Frame = 6;
        Assert.Equal(0, gntdev.Map([new(model.Domid, reference)], writable: true, out GrantMapping second));
        *(ulong*)second.Address = 3;
        Assert.Equal(3UL, *(ulong*)first.Address);
        Assert.Equal(3UL, model.Guest.Memory.Read<ulong>(5 << 12));
        gntdev.Unmap(first);
        gntdev.Unmap(second);
    }

    [Fact]
    public void Map_StatusByCause()
    {
        using var model = New();
        Domain other = model.Xen.CreateDomain(new DomainOptions { Name = "other", MemoryMiB = 1 });
        uint good = Grant(model, 5), readOnly = Grant(model, 6, readOnly: true), hole = Grant(model, 0x30000), elsewhere = Grant(model, 7, grantee: other.Id);
        uint paged = Grant(model, 8);
        Assert.Equal(GrantStatus.BadGntref, Map(model, good, flags: 0));
        Assert.Equal(GrantStatus.BadDomain, Map(model, good, domid: 900));
        Assert.Equal(GrantStatus.BadGntref, Map(model, 512));
        Assert.Equal(GrantStatus.GeneralError, Map(model, 300));
        Assert.Equal(GrantStatus.GeneralError, Map(model, elsewhere));
        Assert.Equal(GrantStatus.GeneralError, Map(model, readOnly));
        Assert.Equal(GrantStatus.Okay, Map(model, readOnly, flags: GrantTableOp.MapDevice | GrantTableOp.MapReadOnly));
        Assert.Equal(GrantStatus.BadPage, Map(model, hole));
        Assert.Equal(GrantFlags.Invalid, Used(model, hole));
        model.Xen.Faults.PageOut(model.Domid, 8, 1, requestsUntilBack: 2);
        Assert.Equal(GrantStatus.Eagain, Map(model, paged));
        Assert.Equal(GrantStatus.Eagain, Map(model, paged));
        Assert.Equal(GrantStatus.Okay, Map(model, paged));
        Assert.Equal(GrantStatus.Okay, Map(model, good));

        // A PV process has no page tables in the model for a host mapping; a translated one may not map for devices.
        Assert.Equal(GrantStatus.GeneralError, Map(model, good, flags: GrantTableOp.MapHost));
        var device = new GrantTableOp.MapGrantRef { Dom = 0, Flags = GrantTableOp.MapHost | GrantTableOp.MapDevice };
        model.Vcpu.Hypercall(Hypercall.GrantTableOp, (uint)GrantTableOp.Command.MapGrantRef, ref device);
        Assert.Equal(GrantStatus.GeneralError, device.Status);
    }

    [Fact]
    public void Unmap_ByHandle_OnceAndOnlyAtItsAddress()
    {
        using var model = New();
        uint reference = Grant(model, 5);
        var map = new GrantTableOp.MapGrantRef { Dom = model.Domid, Ref = reference, Flags = GrantTableOp.MapDevice };
        Assert.Equal(0, model.Privcmd.GrantTableOp(GrantTableOp.Command.MapGrantRef, new Span<GrantTableOp.MapGrantRef>(ref map)));
        var unmap = new GrantTableOp.UnmapGrantRef { Handle = map.Handle, DevBusAddr = map.DevBusAddr + 4096 };
        Assert.Equal(GrantStatus.BadDevAddr, Unmap(model, ref unmap));
        unmap.DevBusAddr = 0;
        Assert.Equal(GrantStatus.Okay, Unmap(model, ref unmap));
        Assert.Equal(Marks, Used(model, reference));
        unmap.DevBusAddr = map.DevBusAddr;
        Assert.Equal(GrantStatus.Okay, Unmap(model, ref unmap));
        Assert.Equal(GrantFlags.Invalid, Used(model, reference));
        Assert.Equal(GrantStatus.BadHandle, Unmap(model, ref unmap));
        unmap.Handle = 0x12345;
        Assert.Equal(GrantStatus.BadHandle, Unmap(model, ref unmap));
    }

    [Fact]
    public void Guest_MapsAGrantIntoItsPhysmap()
    {
        using var model = New();
        using IGntalloc gntalloc = model.Kernel.OpenGntalloc();
        uint[] references = new uint[1];
        using XenMapping page = gntalloc.Allocate(model.Domid, writable: true, references);
        *(ulong*)page.Pointer = 1234;
        var map = new GrantTableOp.MapGrantRef { Dom = 0, Ref = references[0], Flags = GrantTableOp.MapHost, HostAddr = 0x50000UL << 12 };
        Assert.Equal(0, model.Vcpu.Hypercall(Hypercall.GrantTableOp, (uint)GrantTableOp.Command.MapGrantRef, ref map));
        Assert.Equal(GrantStatus.Okay, map.Status);
        Assert.Equal(1234UL, model.Guest.Memory.Read<ulong>(0x50000UL << 12));
        model.Guest.Memory.Write(0x50000UL << 12, 5UL);
        Assert.Equal(5UL, *(ulong*)page.Pointer);
        var unmap = new GrantTableOp.UnmapGrantRef { Handle = map.Handle, HostAddr = 0x50001UL << 12 };
        model.Vcpu.Hypercall(Hypercall.GrantTableOp, (uint)GrantTableOp.Command.UnmapGrantRef, ref unmap);
        Assert.Equal(GrantStatus.GeneralError, unmap.Status);
        unmap.HostAddr = 0x50000UL << 12;
        model.Vcpu.Hypercall(Hypercall.GrantTableOp, (uint)GrantTableOp.Command.UnmapGrantRef, ref unmap);
        Assert.Equal(GrantStatus.Okay, unmap.Status);
        Assert.False(model.Guest.Memory.TryRead(0x50000UL << 12, new byte[1]));
    }

    [Fact]
    public void Maptrack_RunsOut()
    {
        using var xen = new Hypervisor();
        Domain guest = xen.CreateDomain(new DomainOptions { MemoryMiB = 1, Paused = false });
        Domain small = xen.CreateDomain(new DomainOptions { Name = "small", Type = DomainType.PV, MemoryMiB = 1, MaxMaptrackFrames = 1 });
        uint reference;
        lock (xen.Gate) Assert.True(guest.GrantAllocator.TryGrant(small.Id, 5, true, out reference));
        using IGntdev gntdev = new Drivers.ModelXenKernel(xen, small).OpenGntdev();
        var many = new GrantReference[256];
        Array.Fill(many, new GrantReference(guest.Id, reference));
        Assert.Equal(Errno(XenErrno.EINVAL), gntdev.Map(many, writable: false, out _));
        Assert.Equal(0, small.Grants.Tracked.Count);
        Assert.Equal(0, guest.Grants.ActiveCount);

        // Well below the limit of handles, a single grant refuses so many uses that its counts could run over.
        Assert.Equal(0, gntdev.Map(many.AsSpan(0, 128), writable: false, out _));
        Assert.Equal(Errno(XenErrno.EINVAL), gntdev.Map(many.AsSpan(0, 1), writable: false, out _));
    }

    [Fact]
    public void DomainWithMappings_Dies_GrantsAreFree()
    {
        using var model = New();
        Domain backend = model.Xen.CreateDomain(new DomainOptions { Name = "backend", Type = DomainType.PV, MemoryMiB = 1 });
        uint reference = Grant(model, 5, grantee: backend.Id);
        IGntdev gntdev = model.KernelOf(backend).OpenGntdev();
        Assert.Equal(0, gntdev.Map([new(model.Domid, reference)], writable: true, out _));
        model.Xen.DestroyDomain(backend.Id);
        Assert.Equal(GrantFlags.Invalid, Used(model, reference));
        gntdev.Dispose();
        Assert.DoesNotContain(model.Xen.Domains, domain => domain.Id == backend.Id);
    }

    [Fact]
    public void Granter_Dies_MappingStaysReadable()
    {
        using var model = New();
        using IGntdev gntdev = model.Kernel.OpenGntdev();
        uint reference = Grant(model, 5);
        model.Guest.Memory.Write(5 << 12, 77UL);
        gntdev.Map([new(model.Domid, reference)], writable: true, out GrantMapping mapping);
        model.Xen.DestroyDomain(model.Domid);
        Assert.Equal(77UL, *(ulong*)mapping.Address);

        // While the page is in use it may be used more; no other grant may.
        Assert.Equal(0, gntdev.Map([new(model.Domid, reference)], writable: true, out GrantMapping second));
        gntdev.Unmap(second);
        Assert.Equal(Errno(XenErrno.EINVAL), gntdev.Map([new(model.Domid, reference + 1)], writable: true, out _));
        gntdev.Unmap(mapping);
        Assert.Equal(Errno(XenErrno.EINVAL), gntdev.Map([new(model.Domid, reference)], writable: true, out _));
        Assert.DoesNotContain(model.Xen.Domains, domain => domain.Id == model.Domid);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Copy_BetweenGrantAndLocal(int version)
    {
        using var model = New();
        using IGntdev gntdev = model.Kernel.OpenGntdev();
        SetVersion(model, version);
        uint reference = Grant(model, 5), readOnly = Grant(model, 6, readOnly: true);
        byte[] local = [1, 2, 3, 4];
        fixed (byte* address = local)
        {
            Gntdev.GrantCopySegment[] segments =
            [
                new() { SourceVirt = (ulong)address, DestRef = reference, DestOffset = 100, DestDomid = model.Domid, Len = 4, Flags = Gntdev.CopyDestGref },
                new() { SourceVirt = (ulong)address, DestRef = readOnly, DestDomid = model.Domid, Len = 4, Flags = Gntdev.CopyDestGref },
                new() { SourceRef = reference, SourceOffset = 101, SourceDomid = model.Domid, DestVirt = (ulong)address, Len = 2, Flags = Gntdev.CopySourceGref },
                new() { SourceRef = 200, SourceDomid = model.Domid, DestVirt = (ulong)address, Len = 2, Flags = Gntdev.CopySourceGref },
                new() { SourceRef = 9999, SourceDomid = model.Domid, DestVirt = (ulong)address, Len = 2, Flags = Gntdev.CopySourceGref },
            ];
            Assert.Equal(0, gntdev.Copy(segments));
            Assert.Equal(
                [GrantStatus.Okay, GrantStatus.GeneralError, GrantStatus.Okay, GrantStatus.GeneralError, GrantStatus.BadGntref],
                segments.Select(segment => segment.Status));
            segments = [new() { SourceVirt = (ulong)address, DestVirt = (ulong)address, Len = 1 }];
            Assert.Equal(Errno(XenErrno.EINVAL), gntdev.Copy(segments));
            segments = [new() { SourceRef = reference, SourceOffset = 4095, SourceDomid = model.Domid, DestVirt = (ulong)address, Len = 2, Flags = Gntdev.CopySourceGref }];
            Assert.Equal(Errno(XenErrno.EINVAL), gntdev.Copy(segments));
        }

        Assert.Equal([2, 3, 3, 4], local);
        Assert.Equal(0x04030201u, model.Guest.Memory.Read<uint>((5 << 12) + 100));
        Assert.Equal(GrantFlags.Invalid, Used(model, reference));
        Assert.Equal(0, model.Guest.Grants.ActiveCount);
    }

    [Fact]
    public void Copy_SubPageAndTransitive()
    {
        using var model = New();
        using IGntdev gntdev = model.Kernel.OpenGntdev();
        Domain owner = model.Xen.CreateDomain(new DomainOptions { Name = "owner", MemoryMiB = 1, Paused = false });
        SetVersion(model, 2);
        owner.Memory.Write(9 << 12, 0x55667788u);
        uint theirs;
        lock (model.Xen.Gate) Assert.True(owner.GrantAllocator.TryGrant(model.Domid, 9, true, out theirs));
        *model.Guest.Grants.EntryV2(50) = new GrantEntryV2
        {
            Flags = GrantFlags.PermitAccess | GrantFlags.SubPage, Domid = 0, SubPageFrame = 5, PageOffset = 16, Length = 8,
        };
        *model.Guest.Grants.EntryV2(51) = new GrantEntryV2 { Flags = GrantFlags.Transitive, Domid = 0, TransitiveDomid = owner.Id, TransitiveGref = theirs };
        *model.Guest.Grants.EntryV2(52) = new GrantEntryV2 { Flags = GrantFlags.Transitive, Domid = 0, TransitiveDomid = model.Domid, TransitiveGref = 50 };
        model.Guest.Memory.Write((5 << 12) + 16, 0x1122334455667788UL);

        ulong[] value = [0];
        Assert.Equal(GrantStatus.Okay, CopyOut(50, 16, 8));
        Assert.Equal(0x1122334455667788UL, value[0]);
        Assert.Equal(GrantStatus.GeneralError, CopyOut(50, 15, 8));
        Assert.Equal(GrantStatus.GeneralError, CopyOut(50, 20, 8));
        value[0] = 0;
        Assert.Equal(GrantStatus.Okay, CopyOut(51, 0, 4));
        Assert.Equal(0x55667788UL, value[0]);
        Assert.Equal(GrantStatus.GeneralError, CopyOut(52, 0, 4));
        Assert.Equal(GrantStatus.GeneralError, Map(model, 50));
        Assert.Equal(GrantStatus.GeneralError, Map(model, 51, flags: GrantTableOp.MapDevice | GrantTableOp.MapReadOnly));
        Assert.Equal(0, owner.Grants.ActiveCount);
        Assert.Equal(0, model.Guest.Grants.ActiveCount);
        Assert.Equal(GrantFlags.Invalid, Used(model, 51));

        GrantStatus CopyOut(uint reference, ushort offset, ushort length)
        {
            fixed (ulong* to = value)
            {
                Gntdev.GrantCopySegment[] segment =
                    [new() { SourceRef = reference, SourceOffset = offset, SourceDomid = model.Domid, DestVirt = (ulong)to, Len = length, Flags = Gntdev.CopySourceGref }];
                Assert.Equal(0, gntdev.Copy(segment));
                return segment[0].Status;
            }
        }
    }

    [Fact]
    public void CopyHypercall_StatusByCause()
    {
        using var model = New();
        uint reference = Grant(model, 5);
        using IGntalloc gntalloc = model.Kernel.OpenGntalloc();
        uint[] own = new uint[1];
        using XenMapping page = gntalloc.Allocate(model.Domid, writable: true, own);
        ulong frame = model.Xen.Dom0.Grants.EntryV1(own[0])->Frame;
        var grant = new GrantTableOp.CopyPointer { Ref = reference, Domid = model.Domid };
        var local = new GrantTableOp.CopyPointer { Gmfn = frame, Domid = Domid.Self };
        model.Guest.Memory.Write(5 << 12, 42UL);
        Assert.Equal(GrantStatus.Okay, Copy(grant, local, 8, GrantTableOp.CopySourceGref));
        Assert.Equal(42UL, *(ulong*)page.Pointer);
        Assert.Equal(GrantStatus.PermissionDenied, Copy(grant, local, 8, 0));
        Assert.Equal(GrantStatus.BadDomain, Copy(grant with { Domid = 900 }, local, 8, GrantTableOp.CopySourceGref));
        Assert.Equal(GrantStatus.BadCopyArg, Copy(grant with { Offset = 4090 }, local, 8, GrantTableOp.CopySourceGref));
        Assert.Equal(GrantStatus.BadPage, Copy(grant, local with { Gmfn = 0x999999 }, 8, GrantTableOp.CopySourceGref));
        Assert.Equal(GrantStatus.BadGntref, Copy(grant with { Ref = 5000 }, local, 8, GrantTableOp.CopySourceGref));

        GrantStatus Copy(GrantTableOp.CopyPointer source, GrantTableOp.CopyPointer dest, ushort length, ushort flags)
        {
            var copy = new GrantTableOp.Copy { Source = source, Dest = dest, Len = length, Flags = flags };
            Assert.Equal(0, model.Privcmd.GrantTableOp(GrantTableOp.Command.Copy, new Span<GrantTableOp.Copy>(ref copy)));
            return copy.Status;
        }
    }

    [Fact]
    public void Table_SetupQueryAndVersions()
    {
        using var model = New();
        var query = new GrantTableOp.QuerySize { Dom = model.Domid };
        Assert.Equal(0, model.Privcmd.GrantTableOp(GrantTableOp.Command.QuerySize, new Span<GrantTableOp.QuerySize>(ref query)));
        Assert.Equal((1u, 64u, GrantStatus.Okay), (query.NrFrames, query.MaxNrFrames, query.Status));
        query.Dom = 900;
        model.Privcmd.GrantTableOp(GrantTableOp.Command.QuerySize, new Span<GrantTableOp.QuerySize>(ref query));
        Assert.Equal(GrantStatus.BadDomain, query.Status);
        Assert.Equal(Errno(XenErrno.EINVAL), model.Privcmd.GrantTableOp(GrantTableOp.Command.QuerySize, new GrantTableOp.QuerySize[2].AsSpan()));

        var setup = new GrantTableOp.SetupTable { Dom = Domid.Self, NrFrames = 65 };
        model.Vcpu.Hypercall(Hypercall.GrantTableOp, (uint)GrantTableOp.Command.SetupTable, ref setup);
        Assert.Equal(GrantStatus.GeneralError, setup.Status);

        var add = new MemoryOp.AddToPhysmap { Domid = Domid.Self, Space = MemoryOp.MapSpace.GrantTable, Idx = 3, Gpfn = 0x50000 };
        Assert.Equal(0, model.Vcpu.Hypercall(Hypercall.MemoryOp, (uint)MemoryOp.Command.AddToPhysmap, ref add));
        Assert.Equal(4, model.Guest.Grants.FrameCount);
        add.Idx = 64;
        Assert.Equal(Errno(XenErrno.EINVAL), model.Vcpu.Hypercall(Hypercall.MemoryOp, (uint)MemoryOp.Command.AddToPhysmap, ref add));

        // The reserved entries survive a change of version, the others do not.
        *model.Guest.Grants.EntryV1(1) = new GrantEntryV1 { Flags = GrantFlags.PermitAccess, Domid = 0, Frame = 0xfeffc };
        uint reference = Grant(model, 5);
        Assert.Equal(GrantStatus.Okay, Map(model, reference));
        Assert.Equal(Errno(XenErrno.EBUSY), TrySetVersion(model, 2));
        model.Xen.Dom0.Grants.UnmapWhole(0);
        Assert.Equal(0, TrySetVersion(model, 2));
        Assert.Equal(0xfeffcUL, model.Guest.Grants.EntryV2(1)->Frame);
        Assert.Equal(GrantFlags.Invalid, model.Guest.Grants.EntryV2(reference)->Flags);
        Assert.Equal(1, model.Guest.Grants.StatusFrameCount);
        model.Guest.Grants.EntryV2(1)->Frame = 1UL << 33;
        Assert.Equal(Errno(XenErrno.ERANGE), TrySetVersion(model, 1));
        model.Guest.Grants.EntryV2(1)->Frame = 7;
        Assert.Equal(0, TrySetVersion(model, 1));
        Assert.Equal(7u, model.Guest.Grants.EntryV1(1)->Frame);
        Assert.Equal(Errno(XenErrno.EINVAL), TrySetVersion(model, 3));
    }

    [Fact]
    public void Swap_ExchangesUnusedEntries()
    {
        using var model = New();
        uint a = Grant(model, 5), b = Grant(model, 6);
        Assert.Equal(GrantStatus.Okay, Swap(a, b));
        Assert.Equal(6u, model.Guest.Grants.EntryV1(a)->Frame);
        Map(model, a);
        Assert.Equal(GrantStatus.Eagain, Swap(a, b));
        Assert.Equal(GrantStatus.BadGntref, Swap(a, 512));

        GrantStatus Swap(uint first, uint second)
        {
            var swap = new GrantTableOp.SwapGrantRef { RefA = first, RefB = second };
            Assert.Equal(0, model.Vcpu.Hypercall(Hypercall.GrantTableOp, (uint)GrantTableOp.Command.SwapGrantRef, ref swap));
            return swap.Status;
        }
    }

    [Fact]
    public void Transfer_GivesAPagesBytes()
    {
        using var model = New();
        ulong mfn;
        lock (model.Xen.Gate)
        {
            mfn = model.Xen.Dom0.P2m.TryAllocate()!.Value;
            model.Xen.Dom0.P2m[mfn].Reference.Bytes[0] = 9;
        }

        *model.Guest.Grants.EntryV1(40) = new GrantEntryV1 { Flags = GrantFlags.AcceptTransfer, Domid = 0, Frame = 0x30000 };
        var transfer = new GrantTableOp.Transfer { Mfn = mfn, Domid = model.Domid, Ref = 40 };
        Assert.Equal(0, model.Privcmd.GrantTableOp(GrantTableOp.Command.Transfer, new Span<GrantTableOp.Transfer>(ref transfer)));
        Assert.Equal(GrantStatus.Okay, transfer.Status);
        Assert.Equal(9, model.Guest.Memory.Read<byte>(0x30000UL << 12));
        Assert.Equal(GrantFlags.AcceptTransfer | GrantFlags.TransferCommitted | GrantFlags.TransferCompleted, model.Guest.Grants.EntryV1(40)->Flags);
        Assert.Equal(0, model.Privcmd.GrantTableOp(GrantTableOp.Command.Transfer, new Span<GrantTableOp.Transfer>(ref transfer)));
        Assert.Equal(GrantStatus.BadPage, transfer.Status);
        Assert.Equal(0, model.Vcpu.Hypercall(Hypercall.GrantTableOp, (uint)GrantTableOp.Command.Transfer, ref transfer));
        Assert.Equal(GrantStatus.GeneralError, transfer.Status);
    }

    [Fact]
    public void UnmapNotify_ClearsTheByteThenSignals()
    {
        using var model = New();
        using IGntdev gntdev = model.Kernel.OpenGntdev();
        uint reference = Grant(model, 5);
        model.Guest.Memory.Write((5 << 12) + 10, (byte)1);
        gntdev.Map([new(model.Domid, reference)], writable: true, out GrantMapping mapping);
        var open = new EventChannelOp.AllocUnbound { Dom = Domid.Self, RemoteDom = 0 };
        model.Vcpu.Hypercall(Hypercall.EventChannelOp, (uint)EventChannelOp.Command.AllocUnbound, ref open);
        uint port = model.Evtchn.BindInterdomain(model.Domid, open.Port);
        Assert.Equal(Errno(XenErrno.EINVAL), gntdev.SetUnmapNotify(mapping, 10, port + 1));
        Assert.Equal(0, gntdev.SetUnmapNotify(mapping, 10, port));
        Assert.True(!model.Vcpu.WaitForUpcall(TimeSpan.Zero));
        gntdev.Dispose();
        Assert.Equal(0, model.Guest.Memory.Read<byte>((5 << 12) + 10));
        Assert.True(model.Vcpu.WaitForUpcall(TimeSpan.Zero));
    }

    [Fact]
    public void Gntalloc_LimitAndDeferredRelease()
    {
        using var model = New();
        using IGntalloc gntalloc = model.Kernel.OpenGntalloc();
        Assert.Equal(28, Assert.Throws<XenException>(() => gntalloc.Allocate(model.Domid, true, new uint[1025])).Errno);
        int before = model.Xen.Dom0.RamPages;
        gntalloc.Allocate(model.Domid, true, new uint[1024]).Dispose();
        Assert.Equal(before, model.Xen.Dom0.RamPages);
    }

    [Fact]
    public void HostileEntries_NeverHurt()
    {
        using var model = New();
        using IGntdev gntdev = model.Kernel.OpenGntdev();
        var random = new Random(5);
        for (int version = 1; version <= 2; version++)
        {
            SetVersion(model, version);
            var mappings = new List<GrantMapping>();
            for (int i = 0; i < 3000; i++)
            {
                random.NextBytes(model.Guest.Grants.SharedFrame(0).Bytes[..64]);
                Span<byte> header = model.Guest.Grants.SharedFrame(0).Bytes;
                header[2] = header[3] = 0;
                if (random.Next(2) == 0) (header[0], header[4], header[5], header[6], header[7]) = (1, 5, 0, 0, 0);
                if (gntdev.Map([new(model.Domid, (uint)random.Next(version == 1 ? 8 : 4))], random.Next(2) == 0, out GrantMapping mapping) == 0) mappings.Add(mapping);
                if (mappings.Count > 20)
                {
                    foreach (GrantMapping held in mappings) Assert.Equal(0, gntdev.Unmap(held));
                    mappings.Clear();
                }
            }

            foreach (GrantMapping held in mappings) gntdev.Unmap(held);
            Assert.Equal(0, model.Guest.Grants.ActiveCount);
            Assert.Equal(0, model.Xen.Dom0.Grants.Tracked.Count);
            model.Guest.Grants.SharedFrame(0).Bytes.Clear();
        }
    }

    private static uint Grant(ModelFixture model, ulong gfn, bool readOnly = false, ushort grantee = 0)
    {
        lock (model.Xen.Gate)
        {
            Assert.True(model.Guest.GrantAllocator.TryGrant(grantee, gfn, readOnly, out uint reference));
            return reference;
        }
    }

    private static GrantFlags Used(ModelFixture model, uint reference)
    {
        lock (model.Xen.Gate)
        {
            return Marks & (model.Guest.Grants.Version == 1
                ? model.Guest.Grants.EntryV1(reference)->Flags
                : (GrantFlags)model.Guest.Grants.StatusWord(reference));
        }
    }

    private static GrantStatus Map(ModelFixture model, uint reference, uint flags = GrantTableOp.MapDevice, ushort? domid = null)
    {
        var map = new GrantTableOp.MapGrantRef { Dom = domid ?? model.Domid, Ref = reference, Flags = flags };
        Assert.Equal(0, model.Privcmd.GrantTableOp(GrantTableOp.Command.MapGrantRef, new Span<GrantTableOp.MapGrantRef>(ref map)));
        return map.Status;
    }

    private static GrantStatus Unmap(ModelFixture model, ref GrantTableOp.UnmapGrantRef unmap)
    {
        Assert.Equal(0, model.Privcmd.GrantTableOp(GrantTableOp.Command.UnmapGrantRef, new Span<GrantTableOp.UnmapGrantRef>(ref unmap)));
        return unmap.Status;
    }

    private static int TrySetVersion(ModelFixture model, int version)
    {
        var set = new GrantTableOp.SetVersion { Version = (uint)version };
        return model.Vcpu.Hypercall(Hypercall.GrantTableOp, (uint)GrantTableOp.Command.SetVersion, ref set);
    }

    private static void SetVersion(ModelFixture model, int version) => Assert.Equal(0, TrySetVersion(model, version));
}

using VhostUser.Protocol;
using VhostXen.Linux;

namespace TestKit;

/// <content>The steps of an ordinary life, in the order QEMU takes them.</content>
public sealed partial class RawFrontend
{
    /// <summary>What a plain front-end agrees to.</summary>
    internal const ulong PlainFeatures = VirtioFeatures.Version1 | VirtioFeatures.ProtocolFeatures;

    /// <summary>Agrees on the protocol features the back-end offers, less what is left out (this front-end sends its own addresses).</summary>
    internal async Task NegotiateAsync(ulong features = PlainFeatures, ProtocolFeatures without = ProtocolFeatures.GpaAddresses)
    {
        await GetAsync(FrontendRequest.GetFeatures);
        var offered = (ProtocolFeatures)await GetAsync(FrontendRequest.GetProtocolFeatures);
        Send(FrontendRequest.SetProtocolFeatures, new UInt64Payload((ulong)(offered & ~without)));
        Send(FrontendRequest.SetOwner, []);
        Require(FrontendRequest.SetFeatures, await AskAsync(FrontendRequest.SetFeatures, new UInt64Payload(features)));
    }

    /// <summary>Shares all of a guest's memory.</summary>
    internal async Task ShareAsync(TestMemory memory)
        => Require(FrontendRequest.SetMemTable, await AskAsync(FrontendRequest.SetMemTable, Table(memory.Regions), Files(memory)));

    /// <summary>Sets a ring up and starts it.</summary>
    internal async Task<RawRing> StartRingAsync(DriverRing ring, int index = 0, bool enable = true)
    {
        var raw = new RawRing(ring, (uint)index);
        Require(FrontendRequest.SetVringNum, await AskAsync(FrontendRequest.SetVringNum, new VringState(raw.Index, (uint)ring.Size)));
        Require(FrontendRequest.SetVringBase, await AskAsync(FrontendRequest.SetVringBase, new VringState(raw.Index, ring.InitialBase)));
        await StartRingAsync(raw, enable);
        return raw;
    }

    /// <summary>Starts a ring whose size and base are known.</summary>
    internal async Task StartRingAsync(RawRing raw, bool enable = true)
    {
        Require(FrontendRequest.SetVringAddr, await AskAsync(FrontendRequest.SetVringAddr, Address(raw.Ring, raw.Index)));
        Require(FrontendRequest.SetVringKick, await AskAsync(FrontendRequest.SetVringKick, new VringFd((byte)raw.Index, true), raw.Kick.Handle));
        Require(FrontendRequest.SetVringCall, await AskAsync(FrontendRequest.SetVringCall, new VringFd((byte)raw.Index, true), raw.Call.Handle));
        Require(FrontendRequest.SetVringErr, await AskAsync(FrontendRequest.SetVringErr, new VringFd((byte)raw.Index, true), raw.Error.Handle));
        if (enable)
            Require(FrontendRequest.SetVringEnable, await AskAsync(FrontendRequest.SetVringEnable, new VringState(raw.Index, 1)));
    }

    /// <summary>Stops a ring.</summary>
    /// <returns>Its base.</returns>
    internal async Task<uint> StopRingAsync(uint index)
    {
        Send(FrontendRequest.GetVringBase, new VringState(index, 0));
        using VhostUserMessage reply = await ReceiveAsync(FrontendRequest.GetVringBase);
        return reply.Read<VringState>("GET_VRING_BASE").Number;
    }

    internal static VringAddress Address(DriverRing ring, uint index, uint flags = 0, ulong log = 0) => new(
        index, flags, ring.Memory.ToUser(ring.Descriptors), ring.Memory.ToUser(ring.Device), ring.Memory.ToUser(ring.Driver), new GuestAddress(log));

    internal static byte[] Table(IReadOnlyList<MemoryRegion> regions, bool xen = false)
    {
        byte[] payload = new byte[MemoryTable.TableSize(regions.Count, xen)];
        var writer = new MessageWriter(payload);
        MemoryTable.Write(ref writer, regions.ToArray(), xen);
        return payload;
    }

    internal static byte[] Single(MemoryRegion region, bool xen = false)
    {
        byte[] payload = new byte[MemoryTable.SingleSize(xen)];
        var writer = new MessageWriter(payload);
        MemoryTable.WriteSingle(ref writer, region, xen);
        return payload;
    }

    internal static FileDescriptor[] Files(TestMemory memory) => [.. memory.Regions.Select(_ => memory.File)];

    private static void Require(FrontendRequest request, ulong status)
    {
        if (status != 0)
            throw new InvalidOperationException($"{request} was refused with {status}");
    }
}

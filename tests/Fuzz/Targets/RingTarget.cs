using System.Runtime.InteropServices;
using Fuzz.Engine;
using Fuzz.Oracles;
using TestKit;
using VhostUser.Memory;
using VhostUser.Protocol;
using VhostUser.Queues;
using VhostXen.Linux;

namespace Fuzz.Targets;

/// <summary>
/// Rings in memory full of lies, driven step by step: every chain that the product takes is the chain that a naive reading
/// finds, every used entry is where the driver will look for it, and buffers resolve exactly when they lie in memory. Regions
/// end at inaccessible pages.
/// </summary>
internal sealed unsafe class RingTarget : FuzzTarget
{
    private const ulong Features = VirtioFeatures.RingPacked | VirtioFeatures.EventIdx | VirtioFeatures.InOrder | VirtioFeatures.IndirectDesc;
    private readonly TestMemory _memory = RingWriter.NewMemory();
    private readonly MappedGuest _guest;
    private readonly IovecList _readable = new();
    private readonly IovecList _writable = new();
    private bool _ordered;

    public RingTarget() => _guest = _memory.Map(new GuardedProvider());

    public override void Run(FuzzInput input, Behaviour seen)
    {
        _memory.All.Clear();
        ulong features = (ulong)input.Byte() << 28 & Features;
        bool packed = (features & VirtioFeatures.RingPacked) != 0;
        _ordered = (features & VirtioFeatures.InOrder) != 0;
        int size = packed ? 1 + input.Below(64) : 1 << input.Below(7);
        int start = input.OneIn(3) ? input.Below(packed ? size : 65536) : 0;
        bool wrap = !packed || !input.OneIn(3);
        var writer = new RingWriter(input, _memory, features, size);
        writer.Fill(start, wrap);

        uint half = (uint)start | (wrap && packed ? 0x8000u : 0);
        Virtqueue queue = Virtqueue.Create(Layout(packed, size), features, packed ? half | (half << 16) : half, null);
        queue.Memory = _guest.Map;
        var naive = new NaiveRing(_memory, features, size, RingWriter.Descriptors, RingWriter.Driver, RingWriter.Device);
        naive.StartAt(start, wrap);
        Drive(input, seen, writer, queue, naive);
    }

    public override void Dispose()
    {
        _guest.Dispose();
        _memory.Dispose();
    }

    private static void Match(PopResult result, DescriptorChain chain, List<GuestRange>? expected, string? broken, NaiveRing naive, Virtqueue queue)
    {
        switch (result)
        {
            case PopResult.Chain:
                FindingException.Require(expected is not null, $"a chain is taken where there is none: {broken}");
                FindingException.Require(chain.Ranges.SequenceEqual(CollectionsMarshal.AsSpan(expected)), "a chain is taken that is another one");
                FindingException.Require(chain.Id == naive.Id && chain.Slots == naive.Slots, "a chain is taken under another name or length");
                break;
            case PopResult.Empty:
                FindingException.Require(expected is null && broken is null, $"a chain is left: {broken ?? "a good one"}");
                break;
            default:
                FindingException.Require(broken is not null || naive.TableLeavesMemory, $"a good chain is refused: {queue.BrokenCause}");
                break;
        }
    }

    private void Drive(FuzzInput input, Behaviour seen, RingWriter writer, Virtqueue queue, NaiveRing naive)
    {
        var held = new List<(DescriptorChain Chain, int Id, int Slots)>();
        int chains = 0;
        for (int step = 0; step < 200; step++)
        {
            switch (input.Below(8))
            {
                case 6:
                    queue.SuppressKicks();
                    queue.AllowKicks();
                    break;
                case 7:
                    writer.Change(naive.Used + held.Count, naive.UsedWrap);
                    break;
                case 5 when held.Count != 0:
                    GiveBack(input, queue, naive, held);
                    break;
            }

            var chain = new DescriptorChain();
            List<GuestRange>? expected = naive.Pop(out string? broken);
            PopResult result = queue.TryPop(chain);
            Match(result, chain, expected, broken, naive, queue);
            if (result == PopResult.Broken)
            {
                seen.Saw($"{queue.BrokenCause}");
                break;
            }

            if (result == PopResult.Empty)
            {
                if (input.IsAtEnd)
                    break;

                continue;
            }

            chains++;
            FindingException.Require(held.Count < writer.Size, "more chains are out than the ring has entries");
            Touch(chain, naive, seen);
            held.Add((chain, naive.Id, naive.Slots));
        }

        seen.Count("chains", chains);
        if (held.Count != 0)
            GiveBack(input, queue, naive, held);

        FindingException.Require(queue.InFlight == 0, "chains are still in flight");
    }

    private void Touch(DescriptorChain chain, NaiveRing naive, Behaviour seen)
    {
        _readable.Clear();
        _writable.Clear();
        ResolveResult result = _guest.Map.Resolve(chain.Ranges, _readable, _writable, out _, out _);
        bool inside = true;
        foreach (ref readonly GuestRange range in chain.Ranges)
            inside &= naive.IsInside(range.Address.Value, range.Length);

        FindingException.Require(inside == (result == ResolveResult.Ok), $"buffers inside memory: {inside}, resolved: {result}");
        seen.Saw($"resolved: {result}");
        if (result != ResolveResult.Ok)
            return;

        int sum = 0;
        foreach (ref readonly iovec entry in _readable.Span)
            sum += new Span<byte>(entry.iov_base, (int)entry.iov_len).Count((byte)1);

        foreach (ref readonly iovec entry in _writable.Span)
            new Span<byte>(entry.iov_base, (int)entry.iov_len).Fill((byte)sum);
    }

    /// <summary>Gives all back, oldest first or last first, and reads the used entries as a driver does.</summary>
    private void GiveBack(FuzzInput input, Virtqueue queue, NaiveRing naive, List<(DescriptorChain Chain, int Id, int Slots)> held)
    {
        bool backwards = input.Flip();
        uint[] written = [.. held.Select(_ => input.UInt32())];
        foreach (int i in backwards ? Enumerable.Range(0, held.Count).Reverse() : Enumerable.Range(0, held.Count))
            queue.AddUsed(held[i].Chain, written[i]);

        queue.Publish();
        if (queue.BrokenCause is null)
        {
            bool inOrder = !backwards || _ordered;
            foreach (int i in inOrder ? Enumerable.Range(0, held.Count) : Enumerable.Range(0, held.Count).Reverse())
            {
                CheckUsed(queue is PackedVirtqueue, queue.Size, naive, held[i].Id, written[i]);
                naive.GiveBack(held[i].Id, held[i].Slots);
            }

            if (queue is SplitVirtqueue)
                FindingException.Require(MemoryMarshal.Read<ushort>(At(RingWriter.Device + 2, 2)) == naive.Used, "the used index says another number");
        }

        held.Clear();
    }

    private void CheckUsed(bool packed, int size, NaiveRing naive, int id, uint written)
    {
        if (!packed)
        {
            Span<byte> entry = At(RingWriter.Device + 4 + (8 * (ulong)(naive.Used % size)), 8);
            FindingException.Require(MemoryMarshal.Read<uint>(entry) == id && MemoryMarshal.Read<uint>(entry[4..]) == written, "a used entry says something else");
            return;
        }

        Span<byte> descriptor = At(RingWriter.Descriptors + (16 * (ulong)naive.Used), 16);
        ushort flags = MemoryMarshal.Read<ushort>(descriptor[14..]);
        bool shown = ((flags & 0x80) != 0) == naive.UsedWrap && ((flags & 0x8000) != 0) == naive.UsedWrap;
        FindingException.Require(shown && MemoryMarshal.Read<ushort>(descriptor[12..]) == id, "a used descriptor says something else");
        FindingException.Require(MemoryMarshal.Read<uint>(descriptor[8..]) == written, "a used descriptor has another length");
    }

    private Span<byte> At(ulong address, int length) => _memory.Span(new GuestAddress(address), length);

    private VirtqueueLayout Layout(bool packed, int size)
    {
        (ulong descriptors, ulong driver, ulong device) = VirtqueueLayout.Sizes(packed, size);
        return new VirtqueueLayout
        {
            Size = size,
            Descriptors = Find(RingWriter.Descriptors, descriptors),
            Driver = Find(RingWriter.Driver, driver),
            Device = Find(RingWriter.Device, device),
        };
    }

    private byte* Find(ulong address, ulong length) => _guest.Map.FindRing(new FrontendAddress(address), length, guestAddressesFirst: true, out _);
}

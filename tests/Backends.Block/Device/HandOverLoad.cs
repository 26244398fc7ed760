using Backends.Block.Device;
using TestKit;
using VhostUser.Memory;
using VhostUser.Protocol;

namespace Backends.Block.Tests.Device;

/// <summary>
/// A guest's writes and reads on 4 KiB blocks, at most one under way per block: what a block holds is the last write that
/// was answered, or the one under way, whole or in part.
/// </summary>
internal sealed class HandOverLoad(TestMemory memory, RawRing ring, string image, int seed)
{
    private const int Block = 4096;
    private const int Blocks = 128;
    private const int Slots = 64;

    private readonly Random _random = new(seed);
    private readonly byte[] _answered = new byte[Blocks];
    private readonly Dictionary<ushort, Request> _underWay = [];
    private readonly Stack<Slot> _free = new(Enumerable.Range(0, Slots).Select(_ => new Slot(
        memory.Buffer(16, writable: false), memory.Allocate(Block, Block), memory.Buffer(1, writable: true))));

    /// <summary>Fills the ring.</summary>
    public void Post()
    {
        while (_free.Count > 0 && ring.Ring.CanAdd(3))
        {
            int block = _random.Next(Blocks);
            if (_underWay.Values.Any(request => request.Block == block))
                continue;

            bool write = _random.Next(4) != 0;
            byte fill = (byte)_random.Next(1, 256);
            Slot slot = _free.Pop();
            var data = new GuestRange(slot.Data, Block, !write);
            BlockRig.Header((uint)(write ? BlockRequestType.Out : BlockRequestType.In), (ulong)(block * Block / 512)).CopyTo(memory.Span(slot.Header));
            memory.Span(data).Fill(fill);
            memory.Span(slot.Status)[0] = BlockRig.Untouched;
            _underWay.Add(ring.Ring.Add(slot.Header, data, slot.Status), new Request(block, write, fill, slot));
        }

        ring.Kick.Signal();
    }

    /// <summary>Takes what has been answered; waits for so many.</summary>
    public void Collect(int atLeast)
    {
        for (int taken = 0; ; taken++)
        {
            UsedBuffer used;
            if (taken < atLeast)
                used = ring.Wait();
            else if (!ring.Ring.TryCollect(out used))
                return;

            Assert.True(_underWay.Remove(used.Id, out Request? request));
            Assert.Equal(0, memory.Span(request.Slot.Status)[0]);
            if (request.Write)
                _answered[request.Block] = request.Fill;
            else
                Assert.Equal(-1, memory.Span(request.Slot.Data, Block).IndexOfAnyExcept(_answered[request.Block]));

            _free.Push(request.Slot);
        }
    }

    /// <summary>With no back-end at work.</summary>
    public void CheckImage()
    {
        byte[] bytes = File.ReadAllBytes(image);
        for (int block = 0; block < Blocks; block++)
        {
            Request? writing = _underWay.Values.FirstOrDefault(request => request.Block == block && request.Write);
            byte[] allowed = writing is null ? [_answered[block]] : [_answered[block], writing.Fill];
            int wrong = bytes.AsSpan(block * Block, Block).IndexOfAnyExcept(allowed);
            Assert.True(wrong < 0, $"block {block} holds {bytes[(block * Block) + Math.Max(wrong, 0)]}, {_answered[block]} was answered");
        }
    }

    private sealed record Request(int Block, bool Write, byte Fill, Slot Slot);

    private sealed record Slot(GuestRange Header, GuestAddress Data, GuestRange Status);
}

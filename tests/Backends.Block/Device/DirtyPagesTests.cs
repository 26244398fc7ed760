using Backends.Block.Device;
using Backends.Block.Stores;
using Backends.Block.Tests.Stores;
using Microsoft.Extensions.Logging.Abstractions;
using TestKit;
using VhostUser.Memory;
using VhostUser.Protocol;
using VhostUser.Session;
using VhostXen.Linux;
using static VhostXen.Linux.LibC;

namespace Backends.Block.Tests.Device;

/// <summary>
/// The dirty log of a disk, page by page: verified random requests, the guest's memory before and after, and the bitmap.
/// A page that changed has its bit. A page has no bit unless it holds a buffer of a request that the device may write (all
/// of such a buffer is marked, also where a read fails) or device-written ring memory.
/// </summary>
public sealed class DirtyPagesTests : IAsyncLifetime
{
    private const ulong Page = 4096;
    private const int Size = 512;
    private const int Rounds = 12;
    private const int Slot = 32768;
    private const ulong LogBytes = 0x1_0060_0000 / Page / 8;

    private readonly TestFile _file = new(4 << 20);
    private readonly TestMemory _memory = new((0UL, 4UL << 20), (0x1_0000_0000UL, 4UL << 20), (0x1_0040_0000UL, 2UL << 20));
    private readonly FileDescriptor _logFile = MemFd.Create("log", LogBytes);
    private readonly MappedMemory _log;
    private readonly byte[] _disk = new byte[4 << 20];
    private readonly List<Request> _requests = [];
    private readonly HashSet<ulong> _mayWrite = [];
    private int _collected;

    public DirtyPagesTests() => _log = MappedMemory.Map(_logFile, 0, (nuint)LogBytes);

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public ValueTask DisposeAsync()
    {
        _log.Dispose();
        _logFile.Dispose();
        _memory.Dispose();
        _file.Dispose();
        return ValueTask.CompletedTask;
    }

    [Theory]
    [InlineData(0UL, false, 1)]
    [InlineData(VirtioFeatures.EventIdx, false, 2)]
    [InlineData(VirtioFeatures.EventIdx | VirtioFeatures.IndirectDesc | VirtioFeatures.InOrder, true, 3)]
    [InlineData(VirtioFeatures.RingPacked, false, 4)]
    [InlineData(VirtioFeatures.RingPacked | VirtioFeatures.EventIdx | VirtioFeatures.IndirectDesc, true, 5)]
    [InlineData(VirtioFeatures.RingPacked | VirtioFeatures.IndirectDesc | VirtioFeatures.InOrder, false, 6)]
    public async Task Log_AfterRandomRequests_HasThePagesThatChangedAndNoOthers(ulong form, bool direct, int seed)
    {
        var random = new Random(seed);
        random.NextBytes(_disk);
        await File.WriteAllBytesAsync(_file.Path, _disk, Cancel);
        var disk = new BlockDevice(
            new RecordingStore(new FileStore(new FileStoreOptions { Path = _file.Path, Direct = direct })) { Fail = static request => request.Length == 1536 ? EIO : 0 },
            new BlockDeviceOptions { Queues = 1 }, NullLogger.Instance);
        await using TestBackend backend = await TestBackend.StartAsync(disk);
        await using FrontendSession frontend = backend.Open(new FrontendOptions(), Cancel);
        await frontend.NegotiateAsync(Cancel);
        await frontend.SetFeaturesAsync(VirtioFeatures.Version1 | VirtioFeatures.LogAll | BlockFeatures.Flush | form, Cancel);
        await frontend.SetMemoryAsync(_memory.Shared, Cancel);
        await frontend.SetLogAsync(_logFile, LogBytes, cancellation: Cancel);

        using var ring = new RawRing(DriverRing.Create(_memory, Size, form, region: 1), 0);
        bool indirect = (form & VirtioFeatures.IndirectDesc) != 0;
        GuestAddress[] arenas = [.. Enumerable.Range(0, 3).Select(region => _memory.Allocate(1 << 20, 4096, region))];
        FrontendRing start = ring.Describe() with { LogAddress = ring.Ring.Device };
        int changed = 0;
        for (int round = 0; round < Rounds; round++)
        {
            Prepare(ring.Ring, random, arenas, indirect);
            _log.Span.Clear();
            byte[] before = _memory.All.ToArray();
            await frontend.StartRingAsync(start, Cancel);
            ring.Kick.Signal();
            Assert.True(SpinWait.SpinUntil(() => Collect(ring.Ring), RawFrontend.Deadline), "the device does not answer");
            start = start with { Base = await frontend.StopRingAsync(0, Cancel) };

            Verify();
            HashSet<ulong> logged = Logged();
            HashSet<ulong> written = Changed(before);
            changed += written.Count;
            Assert.Empty(written.Except(logged).Select(static page => $"0x{page:x}"));
            Assert.Empty(logged.Except(_mayWrite).Select(static page => $"0x{page:x}"));

            // All buffers that were written in full are there, also where the bytes happen to be the same.
            Assert.Empty(_mayWrite.Except(logged).Except(RingPages(ring.Ring)).Select(static page => $"0x{page:x}"));
        }

        Assert.True(changed > Rounds * 20, $"only {changed} pages changed");
    }

    /// <summary>Makes requests available on places of the disk of their own, while the ring is stopped.</summary>
    private void Prepare(DriverRing ring, Random random, GuestAddress[] arenas, bool indirect)
    {
        _requests.Clear();
        _mayWrite.Clear();
        _mayWrite.UnionWith(RingPages(ring));
        ulong[] next = [.. arenas.Select(static arena => arena.Value)];
        int[] slots = [.. Enumerable.Range(0, _disk.Length / Slot)];
        random.Shuffle(slots);
        int count = random.Next(5, 40);
        for (int i = 0; i < count; i++)
        {
            BlockRequestType type = random.Next(10) switch
            {
                0 => BlockRequestType.Flush,
                1 => BlockRequestType.GetId,
                < 6 => BlockRequestType.Out,
                _ => BlockRequestType.In,
            };
            int length = type switch
            {
                BlockRequestType.Flush => 0,
                BlockRequestType.GetId => 20,
                _ => 512 * random.Next(1, Slot / 512 / 2),
            };
            Request request = new(type, slots[i] * Slot, length);
            List<GuestRange> chain = [Take(next, random, 16, writable: false)];
            BlockRig.Header((uint)type, (ulong)request.Offset / 512).CopyTo(_memory.Span(chain[0]));
            for (int left = length; left > 0;)
            {
                int piece = random.Next(3) == 0 ? left : random.Next(1, left + 1);
                GuestRange part = Take(next, random, piece, type is not BlockRequestType.Out);
                random.NextBytes(_memory.Span(part));
                request.Data.Add(part);
                left -= piece;
                if (request.Data.Count == 5 && left > 0)
                {
                    request.Data.Add(Take(next, random, left, type is not BlockRequestType.Out));
                    random.NextBytes(_memory.Span(request.Data[^1]));
                    left = 0;
                }
            }

            request.Status = Take(next, random, 1, writable: true);
            _memory.Span(request.Status)[0] = BlockRig.Untouched;
            chain.AddRange(request.Data);
            chain.Add(request.Status);
            ring.Add([.. chain], indirect && random.Next(2) == 0);
            _requests.Add(request);
            foreach (GuestRange range in chain.Where(static range => range.Writable))
                _mayWrite.UnionWith(Pages(range.Address.Value, range.Length));
        }
    }

    private static GuestRange Take(ulong[] next, Random random, int length, bool writable)
    {
        int region = random.Next(next.Length);

        // Some buffers share pages with their neighbours, some have pages of their own, and some cross into the next.
        ulong start = next[region] + (random.Next(4) == 0 ? Page - (next[region] % Page) : (ulong)random.Next(64));
        next[region] = start + (ulong)length;
        return new GuestRange(new GuestAddress(start), (uint)length, writable);
    }

    private bool Collect(DriverRing ring)
    {
        while (ring.TryCollect(out _))
            _collected++;

        if (_collected < _requests.Count)
            return false;

        _collected = 0;
        return true;
    }

    private void Verify()
    {
        foreach (Request request in _requests)
        {
            bool fails = request.Length == 1536;
            Assert.Equal(fails ? 1 : 0, _memory.Span(request.Status)[0]);
            byte[] data = [.. request.Data.SelectMany(range => _memory.Span(range).ToArray())];
            if (fails)
                continue;

            if (request.Type == BlockRequestType.Out)
                data.CopyTo(_disk, request.Offset);
            else if (request.Type == BlockRequestType.In)
                Assert.True(data.AsSpan().SequenceEqual(_disk.AsSpan(request.Offset, request.Length)));
        }
    }

    private HashSet<ulong> Changed(byte[] before)
    {
        HashSet<ulong> pages = [];
        Span<byte> now = _memory.All;
        foreach (MemoryRegion region in _memory.Regions)
        {
            for (ulong offset = 0; offset < region.Size; offset += Page)
            {
                int at = (int)(region.MmapOffset + offset);
                if (!now.Slice(at, (int)Page).SequenceEqual(before.AsSpan(at, (int)Page)))
                    pages.Add((region.GuestAddress.Value + offset) / Page);
            }
        }

        return pages;
    }

    private HashSet<ulong> Logged()
    {
        HashSet<ulong> pages = [];
        for (int page = 0; page < _log.Span.Length * 8; page++)
        {
            if ((_log.Span[page / 8] >> (page % 8) & 1) != 0)
                pages.Add((ulong)page);
        }

        return pages;
    }

    private static HashSet<ulong> RingPages(DriverRing ring)
    {
        (ulong descriptors, _, ulong device) = DriverRing.Bytes(ring.IsPacked, ring.Size);
        return
        [
            .. Pages(ring.Device.Value, device),
            .. ring.IsPacked ? Pages(ring.Descriptors.Value, descriptors) : [],
        ];
    }

    private static IEnumerable<ulong> Pages(ulong start, ulong length)
    {
        for (ulong page = start / Page; page <= (start + length - 1) / Page; page++)
            yield return page;
    }

    private sealed record Request(BlockRequestType Type, int Offset, int Length)
    {
        public List<GuestRange> Data { get; } = [];

        public GuestRange Status { get; set; }
    }
}

using Backends.Block.Device;
using Backends.Block.Stores;
using Backends.Block.Tests.Stores;
using Microsoft.Extensions.Logging.Abstractions;
using TestKit;
using VhostUser.Memory;
using VhostUser.Protocol;
using VhostUser.Session;

namespace Backends.Block.Tests.Device;

/// <summary>A disk that is stopped with requests under way, and goes on in another back-end (GET_VRING_BASE_INFLIGHT).</summary>
public sealed class HandOverTests : IDisposable
{
    private const int Size = 64;
    private readonly TestFile _file = new(1 << 20);

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public void Dispose() => _file.Dispose();

    [Theory]
    [InlineData(0UL)]
    [InlineData(VirtioFeatures.RingPacked)]
    public async Task Stop_WritesNotBegun_AreDoneByTheSuccessorAlone(ulong form)
    {
        using var memory = new TestMemory();
        using var ring = new RawRing(DriverRing.Create(memory, Size, form), 0);
        var answers = new List<GuestRange>();
        FrontendInflight? inflight;
        uint stoppedAt;
        var store = new RecordingStore(Open()) { Hold = true };
        await using (TestBackend backend = await TestBackend.StartAsync(Disk(store)))
        {
            await using FrontendSession source = await OpenAsync(backend, form);
            inflight = await source.GetInflightAsync(1, Size, Cancel);
            await StartAsync(source, inflight, memory, ring.Describe());
            for (byte sector = 0; sector < 5; sector++)
                answers.Add(Post(memory, ring, BlockRequestType.Out, sector, (byte)(sector + 1)));

            // The flush is not left: it answers for this host's page cache.
            answers.Add(Post(memory, ring, BlockRequestType.Flush, 0, 0));
            store.WaitForHeld(6);
            Task<uint> stopping = source.StopRingAsync(0, Cancel);
            await Assert.ThrowsAsync<TimeoutException>(() => stopping.WaitAsync(TimeSpan.FromMilliseconds(200), Cancel));
            store.Hold = false;
            store.Release();
            stoppedAt = await stopping;
            ring.Wait();
            Assert.Equal(0, memory.Span(answers[5])[0]);
            Assert.False(ring.Ring.TryCollect(out _));
        }

        Assert.All(_file.Bytes, static value => Assert.Equal(0, value));
        Assert.All(answers[..5], answer => Assert.Equal(BlockRig.Untouched, memory.Span(answer)[0]));
        var second = new RecordingStore(Open());
        await using (TestBackend backend = await TestBackend.StartAsync(Disk(second)))
        {
            await using FrontendSession target = await OpenAsync(backend, form);
            await StartAsync(target, inflight, memory, ring.Describe() with { Base = stoppedAt });
            for (int i = 0; i < 5; i++)
                ring.Wait();
        }

        inflight.Dispose();
        Assert.All(answers, answer => Assert.Equal(0, memory.Span(answer)[0]));
        Assert.Equal([0UL, 512UL, 1024UL, 1536UL, 2048UL], second.Operations.Select(static seen => seen.Offset));
        byte[] bytes = _file.Bytes;
        for (int sector = 0; sector < 5; sector++)
            Assert.All(bytes.AsSpan(sector * 512, 512).ToArray(), value => Assert.Equal(sector + 1, value));
    }

    /// <summary>
    /// Random writes and reads under way, stopped in their midst, again and again, each time to go on in the other of two
    /// back-ends on the same image. A write of a former one that came late would undo a newer one of the same place: the image is
    /// compared with what the guest was told after every stop.
    /// </summary>
    [Theory]
    [InlineData(0UL, false, true)]
    [InlineData(VirtioFeatures.RingPacked, false, false)]
    [InlineData(0UL, true, true)]
    [InlineData(VirtioFeatures.RingPacked, true, true)]
    [InlineData(VirtioFeatures.RingPacked | VirtioFeatures.InOrder, true, false)]
    public async Task Load_HandedToAndFro_LosesAndUndoesNothing(ulong form, bool direct, bool ioUring)
    {
        const int Rounds = 40;
        using var memory = new TestMemory((0UL, 16UL << 20));
        using var ring = new RawRing(DriverRing.Create(memory, Size, form), 0);
        var load = new HandOverLoad(memory, ring, _file.Path, seed: (int)form ^ (direct ? 1 : 2));
        FrontendRing start = ring.Describe();
        FrontendInflight? inflight = null;
        int left = 0;
        await using TestBackend first = await TestBackend.StartAsync(Disk(Open(direct), writeback: direct), ioUring: ioUring);
        await using TestBackend second = await TestBackend.StartAsync(Disk(Open(direct), writeback: direct), ioUring: ioUring);
        for (int round = 0; round < Rounds; round++)
        {
            TestBackend backend = round % 2 == 0 ? first : second;
            await using FrontendSession frontend = await OpenAsync(backend, form);
            inflight ??= await frontend.GetInflightAsync(1, Size, Cancel);
            load.Post();
            await StartAsync(frontend, inflight, memory, start);
            load.Collect(atLeast: round % 5);
            start = start with { Base = await frontend.StopRingAsync(0, Cancel) };
            load.Collect(atLeast: 0);
            load.CheckImage();
            left += ring.Ring.Outstanding;
        }

        await using (FrontendSession frontend = await OpenAsync(first, form))
        {
            await StartAsync(frontend, inflight!, memory, start);
            load.Collect(atLeast: ring.Ring.Outstanding);
        }

        load.CheckImage();
        inflight!.Dispose();

        // Threads do a few at a time, so there was always something to hand over; what io_uring has begun is rarely cancelled.
        Assert.True(left > 0 || ioUring, "no request was ever handed over");
    }

    private static GuestRange Post(TestMemory memory, RawRing ring, BlockRequestType type, ulong sector, byte fill)
    {
        GuestRange header = memory.Buffer(16, writable: false);
        BlockRig.Header((uint)type, sector).CopyTo(memory.Span(header));
        GuestRange data = memory.Buffer(512, writable: false);
        memory.Span(data).Fill(fill);
        GuestRange status = memory.Buffer(1, writable: true);
        memory.Span(status)[0] = BlockRig.Untouched;
        if (type == BlockRequestType.Out)
            ring.Ring.Add(header, data, status);
        else
            ring.Ring.Add(header, status);

        ring.Kick.Signal();
        return status;
    }

    /// <param name="store">Owned by the device.</param>
    /// <param name="writeback">False for writes that are stable when they are answered, and take their time.</param>
    private static BlockDevice Disk(IBlockStore store, bool writeback = true)
        => new(store, new BlockDeviceOptions { Queues = 1, Writeback = writeback }, NullLogger.Instance);

    private static async Task<FrontendSession> OpenAsync(TestBackend backend, ulong form)
    {
        const ProtocolFeatures wanted = ProtocolFeatures.InflightShmFd | ProtocolFeatures.GetVringBaseInflight
            | ProtocolFeatures.Mq | ProtocolFeatures.ReplyAck | ProtocolFeatures.Config;
        FrontendSession frontend = backend.Open(new FrontendOptions { WantedProtocol = wanted }, Cancel);
        await frontend.NegotiateAsync(Cancel);
        await frontend.SetFeaturesAsync(VirtioFeatures.Version1 | BlockFeatures.Flush | form, Cancel);
        return frontend;
    }

    private static async Task StartAsync(FrontendSession frontend, FrontendInflight inflight, TestMemory memory, FrontendRing ring)
    {
        await frontend.SetInflightAsync(inflight, Cancel);
        await frontend.SetMemoryAsync(memory.Shared, Cancel);
        await frontend.StartRingAsync(ring, Cancel);
    }

    private FileStore Open(bool direct = false) => new(new FileStoreOptions { Path = _file.Path, Direct = direct, Lock = false });
}

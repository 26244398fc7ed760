using Backends.Block.Stores;
using VhostXen.Linux;
using static VhostXen.Linux.LibC;

namespace Backends.Block.Tests.Stores;

public sealed class FileStoreTests : IDisposable
{
    private const int MiB = 1024 * 1024;
    private readonly TestFile _file = new(16 * MiB);

    // Page cache or O_DIRECT, io_uring or threads: four ways, one behaviour.
    public static TheoryData<bool, bool> Ways => new() { { false, true }, { false, false }, { true, true }, { true, false } };

    public void Dispose() => _file.Dispose();

    [Theory]
    [MemberData(nameof(Ways))]
    public void ReadWrite_AnyShape_KeepsEveryByte(bool direct, bool ioUring)
    {
        using StoreProbe probe = Open(direct, ioUring);
        byte[] expected = new byte[16 * MiB];
        Random random = new(7);
        for (int i = 0; i < 150; i++)
        {
            int length = 512 * random.Next(1, i % 10 == 0 ? 2400 : 64);
            int offset = 512 * random.Next(0, (16 * MiB / 512) - (length / 512));
            byte[] data = TestFile.Pattern(length, i);
            int pieces = random.Next(1, 5);
            bool canPin = random.Next(4) != 0;
            int misalign = random.Next(3) == 0 ? 8 : 0;
            Assert.Equal(0, probe.Write((ulong)offset, data, pieces, canPin, misalign, durable: i % 7 == 0));
            data.CopyTo(expected, offset);
            byte[] back = new byte[length];
            Assert.Equal(0, probe.Read((ulong)offset, back, random.Next(1, 4), canPin, misalign));
            Assert.Equal(data, back);
        }

        Assert.Equal(0, probe.Flush());
        Assert.Equal(expected, _file.Bytes);
    }

    [Theory]
    [MemberData(nameof(Ways))]
    public void ReadWrite_MoreIovecsThanOneCallTakes_AreContinued(bool direct, bool ioUring)
    {
        using StoreProbe probe = Open(direct, ioUring);
        byte[] data = TestFile.Pattern(3000 * 512, 1);
        Assert.Equal(0, probe.Write(4096, data, pieces: 3000));
        byte[] back = new byte[data.Length];
        Assert.Equal(0, probe.Read(4096, back, pieces: 3000));
        Assert.Equal(data, back);
    }

    [Theory]
    [MemberData(nameof(Ways))]
    public void ManyAtOnce_MoreThanRingAndBounceBuffers_AllComplete(bool direct, bool ioUring)
    {
        using StoreProbe probe = Open(direct, ioUring);
        List<ProbeRequest> writes = [];
        for (int i = 0; i < 400; i++)
        {
            ProbeRequest request = new(8192, 2, 0) { Pinnable = i % 2 == 0 };
            request.CopyFrom(TestFile.Pattern(8192, i));
            writes.Add(request.Set(StoreOperation.Write, (ulong)i * 8192, 8192));
        }

        probe.RunAll(writes);
        Assert.All(writes, static write => Assert.Equal((0, 1), (write.Completed.Result, write.Completions)));
        byte[] bytes = _file.Bytes;
        for (int i = 0; i < 400; i++)
            Assert.Equal(TestFile.Pattern(8192, i), bytes.AsSpan(i * 8192, 8192).ToArray());

        writes.ForEach(static write => write.Dispose());
    }

    // What a successor relies on: once all have completed, those called off do nothing to the file any more.
    [Theory]
    [MemberData(nameof(Ways))]
    public void CallOff_ManyUnderWay_EndEachOnceAndNeverWriteLater(bool direct, bool ioUring)
    {
        const int Count = 96;
        const int Length = 65536;
        using StoreProbe probe = Open(direct, ioUring);
        List<ProbeRequest> writes = [];
        for (int i = 0; i < Count; i++)
        {
            ProbeRequest request = new(Length, 2, 0) { IsDurable = true, Pinnable = i % 2 == 0 };
            request.CopyFrom(TestFile.Pattern(Length, i));
            writes.Add(request.Set(StoreOperation.Write, (ulong)(i * Length), Length));
        }

        using ProbeRequest flush = new(0, 0, 0);
        writes.Insert(Count / 2, flush.Set(StoreOperation.Flush, 0, 0));
        probe.RunAll(writes, then: probe.Channel.CallOff);
        Assert.All(writes, static write => Assert.Equal(1, write.Completions));
        Assert.Equal(0, flush.Error);
        writes.Remove(flush);
        Assert.All(writes, static write => Assert.True(write.Error is 0 or ECANCELED, errno_name(write.Error)));
        int calledOff = writes.Count(static write => write.Error == ECANCELED);

        // Threads cannot have begun all; io_uring may have, but not with too few bounce buffers.
        Assert.True(calledOff > 0 || (ioUring && !direct), "nothing was called off");
        byte[] bytes = _file.Bytes;
        for (int i = 0; i < Count; i++)
        {
            if (writes[i].Error == 0)
                Assert.Equal(TestFile.Pattern(Length, i), bytes.AsSpan(i * Length, Length).ToArray());
        }

        probe.Resume();
        for (int i = 0; i < Count; i++)
            Assert.Equal(0, probe.Write((ulong)(i * Length), TestFile.Pattern(Length, 1000 + i)));

        Assert.Equal(0, probe.Flush());
        bytes = _file.Bytes;
        for (int i = 0; i < Count; i++)
            Assert.Equal(TestFile.Pattern(Length, 1000 + i), bytes.AsSpan(i * Length, Length).ToArray());

        writes.ForEach(static write => write.Dispose());
    }

    [Theory]
    [MemberData(nameof(Ways))]
    public void Operations_AllWays_CompleteOnTheWorkersThread(bool direct, bool ioUring)
    {
        using StoreProbe probe = Open(direct, ioUring);
        int worker = probe.WorkerThreadId;
        using ProbeRequest request = new(4096, 1, 0);
        probe.RunAll([request.Set(StoreOperation.Write, 0, 4096)]);
        using ProbeRequest flush = new(0, 0, 0);
        probe.RunAll([flush.Set(StoreOperation.Flush, 0, 0)]);
        Assert.Equal(worker, request.ThreadId);
        Assert.Equal(worker, flush.ThreadId);
    }

    [Theory]
    [MemberData(nameof(Ways))]
    public void Discard_OfWrittenBlocks_PunchesAHole(bool direct, bool ioUring)
    {
        using StoreProbe probe = Open(direct, ioUring);
        Assert.True(probe.Store.Properties.CanDiscard);
        Assert.Equal(0, probe.Write(0, TestFile.Pattern(4 * MiB, 1)));
        Assert.Equal(0, probe.Flush());
        ulong before = _file.Blocks;
        Assert.Equal(0, probe.Range(StoreOperation.Discard, MiB, 2 * MiB));
        Assert.Equal(before - (2 * MiB / 512), _file.Blocks);
        Assert.Equal(MiB, _file.HoleFrom(0));
        Assert.Equal(16 * MiB, new FileInfo(_file.Path).Length);
    }

    [Theory]
    [MemberData(nameof(Ways))]
    public void WriteZeroes_WithUnmap_GivesTheSpaceBack(bool direct, bool ioUring)
    {
        using StoreProbe probe = Open(direct, ioUring);
        Assert.Equal(0, probe.Write(0, TestFile.Pattern(4 * MiB, 1)));
        Assert.Equal(0, probe.Flush());
        ulong before = _file.Blocks;
        Assert.Equal(0, probe.Range(StoreOperation.WriteZeroes, MiB, MiB, unmap: true, durable: true));
        Assert.Equal(before - (MiB / 512), _file.Blocks);
        Assert.All(_file.Bytes.AsSpan(MiB, MiB).ToArray(), static b => Assert.Equal(0, b));
    }

    [Theory]
    [MemberData(nameof(Ways))]
    public void WriteZeroes_WithoutUnmap_KeepsTheSpace(bool direct, bool ioUring)
    {
        using StoreProbe probe = Open(direct, ioUring);
        byte[] data = TestFile.Pattern(4 * MiB, 1);
        Assert.Equal(0, probe.Write(0, data));
        Assert.Equal(0, probe.Flush());
        ulong before = _file.Blocks;

        // Odd edges: half a page at each end.
        Assert.Equal(0, probe.Range(StoreOperation.WriteZeroes, MiB - 512, MiB + 1024, durable: true));
        Assert.True(_file.Blocks >= before);
        data.AsSpan(MiB - 512, MiB + 1024).Clear();
        Assert.Equal(data, _file.Bytes.AsSpan(0, data.Length).ToArray());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void WriteZeroes_HostCannotDoIt_WritesZeroes(bool ioUring)
    {
        using FileStore store = new(new FileStoreOptions { Path = _file.Path });
        store.NoPunch = store.NoZeroRange = true;
        using StoreProbe probe = new(store, ioUring);
        byte[] data = TestFile.Pattern(4 * MiB, 1);
        Assert.Equal(0, probe.Write(0, data));
        Assert.Equal(0, probe.Range(StoreOperation.WriteZeroes, 512, (3 * MiB) + 512, unmap: true, durable: true));
        data.AsSpan(512, (3 * MiB) + 512).Clear();
        Assert.Equal(data, _file.Bytes.AsSpan(0, data.Length).ToArray());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void MemoryFileSystem_WithoutZeroRange_FindsAnotherWay(bool ioUring)
    {
        using TestFile file = new(4 * MiB, "/dev/shm");
        using FileStore store = new(new FileStoreOptions { Path = file.Path });
        Assert.True(store.IsInMemory);
        using StoreProbe probe = new(store, ioUring);
        byte[] data = TestFile.Pattern(MiB, 1);
        Assert.Equal(0, probe.Write(0, data, pieces: 3, durable: true));
        Assert.Equal(0, probe.Range(StoreOperation.WriteZeroes, 4096, 8192));
        Assert.Equal(0, probe.Range(StoreOperation.Discard, 65536, 65536));
        Assert.Equal(0, probe.Flush());
        data.AsSpan(4096, 8192).Clear();
        data.AsSpan(65536, 65536).Clear();
        Assert.Equal(data, file.Bytes.AsSpan(0, MiB).ToArray());
        Assert.True(store.NoZeroRange);
    }

    [Theory]
    [MemberData(nameof(Ways))]
    public void Read_FileCutBehindOurBack_IsAnError(bool direct, bool ioUring)
    {
        using StoreProbe probe = Open(direct, ioUring);
        using (FileStream stream = File.OpenWrite(_file.Path))
            stream.SetLength(MiB);

        Assert.Equal(EIO, probe.Read((2 * MiB), new byte[4096]));
        Assert.Equal(EIO, probe.Read(MiB - 4096, new byte[8192], pieces: 2));
        Assert.True(probe.Store.Refresh());
        Assert.Equal((ulong)MiB, probe.Store.Length);
        Assert.False(probe.Store.Refresh());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Write_TheHostRefuses_IsItsError(bool ioUring)
    {
        using StoreProbe probe = Open(direct: false, ioUring);

        // Past the longest file there can be: at once on the worker for the one, by way of io_uring or a thread for the other.
        Assert.Contains(probe.Write((ulong)long.MaxValue - 8191, new byte[4096]), (int[])[EFBIG, EINVAL]);
        Assert.Contains(probe.Write((ulong)long.MaxValue - 8191, new byte[512], durable: true), (int[])[EFBIG, EINVAL]);
    }

    [Fact]
    public void ReadOnly_Store_FlushesAndReads()
    {
        File.WriteAllBytes(_file.Path, TestFile.Pattern(MiB, 3));
        using FileStore store = new(new FileStoreOptions { Path = _file.Path, ReadOnly = true });
        using StoreProbe probe = new(store);
        byte[] back = new byte[MiB];
        Assert.Equal(0, probe.Read(0, back));
        Assert.Equal(TestFile.Pattern(MiB, 3), back);
        Assert.Equal(0, probe.Flush());
        Assert.Equal(EBADF, probe.Write(0, new byte[4096]));
        Assert.False(store.Properties.CanDiscard);
    }

    [Fact]
    public void Open_SecondWriter_IsRefused()
    {
        using FileStore first = new(new FileStoreOptions { Path = _file.Path });
        Assert.Contains("in use", Assert.Throws<StoreException>(() => new FileStore(new FileStoreOptions { Path = _file.Path })).Message, StringComparison.Ordinal);
        Assert.Contains(
            "in use",
            Assert.Throws<StoreException>(() => new FileStore(new FileStoreOptions { Path = _file.Path, ReadOnly = true })).Message,
            StringComparison.Ordinal);
        using FileStore unlocked = new(new FileStoreOptions { Path = _file.Path, Lock = false });
        Assert.Equal(first.Length, unlocked.Length);
    }

    [Fact]
    public void Open_SecondReader_IsWelcome()
    {
        using FileStore first = new(new FileStoreOptions { Path = _file.Path, ReadOnly = true });
        using FileStore second = new(new FileStoreOptions { Path = _file.Path, ReadOnly = true });
        Assert.Throws<StoreException>(() => new FileStore(new FileStoreOptions { Path = _file.Path }));
    }

    [Theory]
    [InlineData("/nowhere/disk.img", "does not exist")]
    [InlineData("/tmp", "is a directory")]
    [InlineData("/dev/null", "neither a regular file nor a block device")]
    public void Open_NoDisk_SaysWhy(string path, string expected)
    {
        StoreException e = Assert.Throws<StoreException>(() => new FileStore(new FileStoreOptions { Path = path, ReadOnly = path == "/tmp" }));
        Assert.Contains(expected, e.Message, StringComparison.Ordinal);
        Assert.Contains(path, e.Message, StringComparison.Ordinal);
    }

    private StoreProbe Open(bool direct, bool ioUring)
    {
        if (!ioUring || IoUring.IsSupported)
            return new StoreProbe(new FileStore(new FileStoreOptions { Path = _file.Path, Direct = direct }), ioUring);

        Assert.Skip("this kernel refuses io_uring");
        return null!;
    }
}

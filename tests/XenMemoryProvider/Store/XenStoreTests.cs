using System.Runtime.InteropServices;
using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using XenMemoryProvider.Store;
using XenMemoryProvider.Tests.Fakes;
using Xunit;
using static XenMemoryProvider.Abi.Xenstore.MessageType;

namespace XenMemoryProvider.Tests.Store;

public sealed class XenStoreTests : IAsyncDisposable
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);

    private readonly StoreDaemon _daemon = new();
    private readonly XenStore _store;

    public XenStoreTests() => _store = new XenStore(_daemon.Client, new XenStoreOptions { WatchCapacity = 4, TransactionAttempts = 3 });

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public ValueTask DisposeAsync() => _store.DisposeAsync();

    [Fact]
    public async Task Nodes_EachOperation_SaysWhatTheProtocolSays()
    {
        await Both(_store.ReadAsync("/a", Cancel), "value", _daemon.AnswerAsync(Read, "/a|", "value"));
        await Both(_store.TryReadAsync("/a", Cancel), null, RefuseAsync(Read, "/a|", "ENOENT"));
        await Both(_store.WriteAsync("/a", "v", Cancel), _daemon.AnswerAsync(Write, "/a|v", "OK|"));
        await Both(_store.WriteAsync("/a", "", Cancel), _daemon.AnswerAsync(Write, "/a|", "OK|"));
        await Both(_store.MakeDirectoryAsync("a/b", Cancel), _daemon.AnswerAsync(Mkdir, "a/b|", "OK|"));
        await Both(_store.RemoveAsync("/a", Cancel), _daemon.AnswerAsync(Rm, "/a|", "OK|"));
        await Both(_store.ListAsync("/a", Cancel), ["one", "two"], _daemon.AnswerAsync(Xenstore.MessageType.Directory, "/a|", "one|two|"));
        await Both(_store.ListAsync("/a", Cancel), [], _daemon.AnswerAsync(Xenstore.MessageType.Directory, "/a|", ""));
        await Both(_store.GetPermissionsAsync("/a", Cancel),
            [new(XenStoreAccess.None, 0), new(XenStoreAccess.Read, 3), new(XenStoreAccess.Both, 65535)], _daemon.AnswerAsync(GetPerms, "/a|", "n0|r3|b65535|"));
        await Both(_store.SetPermissionsAsync("/a", [new(XenStoreAccess.Write, 0), new(XenStoreAccess.Both, 3)], Cancel), _daemon.AnswerAsync(SetPerms, "/a|w0|b3|", "OK|"));
    }

    [Fact]
    public async Task Domains_EachOperation_SaysWhatTheProtocolSays()
    {
        await Both(_store.GetDomainPathAsync(3, Cancel), "/local/domain/3", _daemon.AnswerAsync(GetDomainPath, "3|", "/local/domain/3|"));
        await Both(_store.IsDomainIntroducedAsync(3, Cancel), true, _daemon.AnswerAsync(IsDomainIntroduced, "3|", "T|"));
        await Both(_store.IntroduceAsync(3, 0xfeffc, 1, Cancel), _daemon.AnswerAsync(Introduce, "3|1044476|1|", "OK|"));
        await Both(_store.ReleaseAsync(3, Cancel), _daemon.AnswerAsync(Release, "3|", "OK|"));
        await Both(_store.ResumeAsync(3, Cancel), _daemon.AnswerAsync(Resume, "3|", "OK|"));
        await Both(_store.SetTargetAsync(4, 3, Cancel), _daemon.AnswerAsync(SetTarget, "4|3|", "OK|"));
        await Both(_store.ResetWatchesAsync(Cancel), _daemon.AnswerAsync(ResetWatches, "|", "OK|"));
        await Both(_store.ControlAsync("print", "x"), "OK", _daemon.AnswerAsync(Control, "print|x|", "OK|"));
    }

    [Fact]
    public async Task Requests_Several_AreUnderWayTogetherAndMatchedById()
    {
        Task<string> one = _store.ReadAsync("/1", Cancel), two = _store.ReadAsync("/2", Cancel);
        StoreDaemon.Request first = await _daemon.ReceiveAsync(), second = await _daemon.ReceiveAsync();
        Assert.NotEqual(first.Header.RequestId, second.Header.RequestId);

        await _daemon.ReplyAsync(second, "two");
        await _daemon.ReplyAsync(first, "one");

        Assert.Equal(("one", "two"), (await one.WaitAsync(Deadline, Cancel), await two.WaitAsync(Deadline, Cancel)));
    }

    [Fact]
    public async Task Requests_OneAtATime_WaitForTheReplyBefore()
    {
        var daemon = new StoreDaemon();
        await using var store = new XenStore(daemon.Client, new XenStoreOptions { RequestTimeout = TimeSpan.FromMilliseconds(200) }, oneAtATime: true);
        Task<string> one = store.ReadAsync("/1", Cancel), two = store.ReadAsync("/2", Cancel);
        StoreDaemon.Request first = await daemon.ReceiveAsync();
        Task<StoreDaemon.Request> second = daemon.ReceiveAsync();

        // Even one that nobody waits for any more.
        await Assert.ThrowsAsync<TimeoutException>(() => one);
        Assert.False(second.IsCompleted);
        await Assert.ThrowsAsync<TimeoutException>(() => two);
        Task<string> three = store.ReadAsync("/3", Cancel);
        await daemon.ReplyAsync(first, "late");

        StoreDaemon.Request next = await second.WaitAsync(Deadline, Cancel);
        Assert.Equal("/3|", next.Text); // The one given up meanwhile was never sent.
        await daemon.ReplyAsync(next, "three");
        Assert.Equal("three", await three.WaitAsync(Deadline, Cancel));
    }

    [Fact]
    public async Task Refused_NamesOperationPathAndErrno()
    {
        Task<string> read = _store.ReadAsync("/a", Cancel);
        await RefuseAsync(Read, "/a|", "EACCES");

        XenException e = await Assert.ThrowsAsync<XenException>(() => read);
        Assert.Equal(("xenstore Read /a: EACCES (Permission denied)", XenErrno.EACCES), (e.Message, e.Error));
    }

    [Fact]
    public async Task Reply_InSinglePieces_IsPutTogether()
    {
        Task<string> read = _store.ReadAsync("/a", Cancel);
        StoreDaemon.Request request = await _daemon.ReceiveAsync();
        Xenstore.Header header = request.Header with { Length = 5 };
        byte[] message = [.. MemoryMarshal.AsBytes(new ReadOnlySpan<Xenstore.Header>(in header)), .. "value"u8];
        foreach (byte piece in message) await _daemon.RawAsync([piece]);

        Assert.Equal("value", await read.WaitAsync(Deadline, Cancel));
    }

    [Fact]
    public async Task List_TooLongForOneReply_ComesInPartsAndStartsAgainWhenItChanged()
    {
        Task<IReadOnlyList<string>> list = _store.ListAsync("/a", Cancel);
        await RefuseAsync(Xenstore.MessageType.Directory, "/a|", "E2BIG");
        await _daemon.AnswerAsync(DirectoryPart, "/a|0|", "7|one|two|");
        await _daemon.AnswerAsync(DirectoryPart, "/a|8|", "8|three|"); // Changed: from the start.
        await _daemon.AnswerAsync(DirectoryPart, "/a|0|", "8|one|");
        await _daemon.AnswerAsync(DirectoryPart, "/a|4|", "8|three||");

        Assert.Equal(["one", "three"], await list.WaitAsync(Deadline, Cancel));
    }

    [Fact]
    public async Task Watch_Events_ReachTheirWatchUntilItIsDisposed()
    {
        (XenStoreWatch watch, string token) = await WatchAsync("/a");
        (XenStoreWatch other, string otherToken) = await WatchAsync("@releaseDomain");

        await _daemon.EventAsync("/a", token);
        await _daemon.EventAsync("@releaseDomain", otherToken);
        await _daemon.EventAsync("/a/b", token);

        Assert.Equal(("/a", "/a/b", "@releaseDomain"), (await Next(watch), await Next(watch), await Next(other)));

        Task disposal = watch.DisposeAsync().AsTask();
        StoreDaemon.Request unwatch = await _daemon.ReceiveAsync();
        Assert.Equal((Unwatch, $"/a|{token}|"), (unwatch.Type, unwatch.Text));
        await _daemon.EventAsync("/a/late", token);
        await _daemon.ReplyAsync(unwatch, "OK|");
        await disposal.WaitAsync(Deadline, Cancel);
        await Assert.ThrowsAsync<OperationCanceledException>(() => Next(watch));
    }

    [Fact]
    public async Task Watch_Flood_EndsInOneEventForAll()
    {
        (XenStoreWatch watch, string token) = await WatchAsync("/a");
        for (int i = 0; i < 100; i++) await _daemon.EventAsync($"/a/{i}", token);
        await Both(_store.ReadAsync("/x", Cancel), "", _daemon.AnswerAsync(Read, "/x|", "")); // All events were read by now.

        var seen = new List<string>();
        await foreach (string path in watch.ReadAllAsync(Cancel))
        {
            seen.Add(path);
            if (path == "/a") break;
        }

        Assert.Equal(["/a/0", "/a/1", "/a/2", "/a/3", "/a"], seen);
    }

    [Fact]
    public async Task Watch_Refused_Throws()
    {
        Task<XenStoreWatch> watch = _store.WatchAsync("/a", Cancel);
        StoreDaemon.Request request = await _daemon.ReceiveAsync();
        await _daemon.RefuseAsync(request, "E2BIG");

        Assert.Equal(XenErrno.E2BIG, (await Assert.ThrowsAsync<XenException>(() => watch)).Error);
    }

    [Fact]
    public async Task Transaction_Conflict_RunsAgainWithANewNumber()
    {
        int runs = 0;
        Task<string> transaction = _store.TransactionAsync(async (nodes, token) =>
        {
            runs++;
            string value = await nodes.ReadAsync("/a", token);
            await nodes.WriteAsync("/b", value, token);
            return value;
        }, Cancel);

        foreach (uint id in new uint[] { 5, 6 })
        {
            await _daemon.AnswerAsync(TransactionStart, "|", $"{id}|");
            Assert.Equal(id, (await _daemon.AnswerAsync(Read, "/a|", $"v{id}")).Header.TransactionId);
            Assert.Equal(id, (await _daemon.AnswerAsync(Write, $"/b|v{id}", "OK|")).Header.TransactionId);
            StoreDaemon.Request end = await _daemon.ReceiveAsync();
            Assert.Equal((TransactionEnd, "T|", id), (end.Type, end.Text, end.Header.TransactionId));
            if (id == 5) await _daemon.RefuseAsync(end, "EAGAIN");
            else await _daemon.ReplyAsync(end, "OK|");
        }

        Assert.Equal(("v6", 2), (await transaction.WaitAsync(Deadline, Cancel), runs));
    }

    [Fact]
    public async Task Transaction_ConflictsForEver_GivesUp()
    {
        Task transaction = _store.TransactionAsync((_, _) => Task.CompletedTask, Cancel);
        for (int i = 0; i < 3; i++)
        {
            await _daemon.AnswerAsync(TransactionStart, "|", "5|");
            await RefuseAsync(TransactionEnd, "T|", "EAGAIN");
        }

        Assert.Equal(XenErrno.EAGAIN, (await Assert.ThrowsAsync<XenException>(() => transaction)).Error);
    }

    [Fact]
    public async Task Transaction_ActionThrows_IsAborted()
    {
        Task transaction = _store.TransactionAsync((_, _) => throw new InvalidOperationException("no"), Cancel);
        await _daemon.AnswerAsync(TransactionStart, "|", "5|");
        await _daemon.AnswerAsync(TransactionEnd, "F|", "OK|");

        await Assert.ThrowsAsync<InvalidOperationException>(() => transaction);
    }

    [Fact]
    public async Task Transaction_StartGivenUp_IsAbortedWhenItsReplyComes()
    {
        using var cancel = new CancellationTokenSource();
        Task transaction = _store.TransactionAsync((_, _) => Task.CompletedTask, cancel.Token);
        StoreDaemon.Request start = await _daemon.ReceiveAsync();
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => transaction);

        await _daemon.ReplyAsync(start, "8|");

        StoreDaemon.Request abort = await _daemon.AnswerAsync(TransactionEnd, "F|", "OK|");
        Assert.Equal(8u, abort.Header.TransactionId);
    }

    [Fact]
    public async Task Request_NoReplyInTime_TimesOutAndTheConnectionGoesOn()
    {
        var daemon = new StoreDaemon();
        await using var store = new XenStore(daemon.Client, new XenStoreOptions { RequestTimeout = TimeSpan.FromMilliseconds(50) });
        Task<string> read = store.ReadAsync("/slow", Cancel);
        StoreDaemon.Request slow = await daemon.ReceiveAsync();
        TimeoutException e = await Assert.ThrowsAsync<TimeoutException>(() => read);
        Assert.Contains("Read /slow", e.Message);

        await daemon.ReplyAsync(slow, "late");
        await Both(store.ReadAsync("/a", Cancel), "value", daemon.AnswerAsync(Read, "/a|", "value"));
    }

    [Fact]
    public async Task Dispose_PendingRequestsAndWatches_EndWithTheReason()
    {
        (XenStoreWatch watch, _) = await WatchAsync("/a");
        Task<string> read = _store.ReadAsync("/a", Cancel);
        await _daemon.ReceiveAsync();

        await _store.DisposeAsync();

        Assert.Contains("closed on this side", (await Assert.ThrowsAsync<XenStoreConnectionException>(() => read)).Message);
        await Assert.ThrowsAsync<XenStoreConnectionException>(() => Next(watch));
        await Assert.ThrowsAsync<XenStoreConnectionException>(() => _store.ReadAsync("/a", Cancel));
        await watch.DisposeAsync();
    }

    [Fact]
    public async Task Arguments_ThatFitNoMessage_AreRefusedHere()
    {
        await Assert.ThrowsAsync<ArgumentException>(() => _store.ReadAsync("", Cancel));
        await Assert.ThrowsAsync<ArgumentException>(() => _store.ReadAsync("/a\0b", Cancel));
        await Assert.ThrowsAsync<ArgumentException>(() => _store.WriteAsync("/a", new string('x', 4094), Cancel));
        await using var device = new XenStore(new StoreDaemon().Client, new XenStoreOptions(), oneAtATime: true);
        Assert.Equal(XenErrno.E2BIG, (await Assert.ThrowsAsync<XenException>(() => device.WriteAsync("/a", new string('x', 4078), Cancel))).Error);
    }

    private async Task<(XenStoreWatch Watch, string Token)> WatchAsync(string path)
    {
        Task<XenStoreWatch> watch = _store.WatchAsync(path, Cancel);
        StoreDaemon.Request request = await _daemon.ReceiveAsync();
        string[] strings = request.Text.Split('|');
        Assert.Equal((Watch, path), (request.Type, strings[0]));
        await _daemon.ReplyAsync(request, "OK|");
        return (await watch.WaitAsync(Deadline, Cancel), strings[1]);
    }

    private static Task<string> Next(XenStoreWatch watch) => watch.NextAsync(Cancel).AsTask().WaitAsync(Deadline, Cancel);

    private async Task RefuseAsync(Xenstore.MessageType type, string text, string error)
    {
        StoreDaemon.Request request = await _daemon.ReceiveAsync();
        Assert.Equal((type, text), (request.Type, request.Text));
        await _daemon.RefuseAsync(request, error);
    }

    private static async Task Both(Task call, Task daemon)
    {
        await daemon;
        await call.WaitAsync(Deadline, Cancel);
    }

    private static async Task Both<T>(Task<T> call, T expected, Task daemon)
    {
        await daemon;
        Assert.Equal(expected, await call.WaitAsync(Deadline, Cancel));
    }
}

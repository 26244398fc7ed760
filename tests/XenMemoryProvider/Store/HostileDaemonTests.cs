using XenMemoryProvider.Abi;
using XenMemoryProvider.Store;
using XenMemoryProvider.Tests.Fakes;
using Xunit;

namespace XenMemoryProvider.Tests.Store;

/// <summary>Replies the protocol does not allow: each ends the connection and says why, to everybody.</summary>
public sealed class HostileDaemonTests : IAsyncDisposable
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);

    private readonly StoreDaemon _daemon = new();
    private readonly XenStore _store;

    public HostileDaemonTests() => _store = new XenStore(_daemon.Client);

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public ValueTask DisposeAsync() => _store.DisposeAsync();

    [Fact]
    public Task Reply_TooLong_EndsIt() => Ends("message of 4097 bytes", (request, daemon) =>
        daemon.RawAsync([.. BitConverter.GetBytes(2), .. BitConverter.GetBytes(request.Header.RequestId), 0, 0, 0, 0, .. BitConverter.GetBytes(4097)]));

    [Fact]
    public Task Reply_HugeLength_EndsIt() => Ends("message of 4294967295 bytes", (request, daemon) =>
        daemon.RawAsync([.. BitConverter.GetBytes(2), .. BitConverter.GetBytes(request.Header.RequestId), 0, 0, 0, 0, 255, 255, 255, 255]));

    [Fact]
    public Task Reply_UnknownRequest_EndsIt() => Ends("answered request 12345, which is not open", (request, daemon) =>
        daemon.SendAsync(request.Header with { RequestId = 12345 }, []));

    [Fact]
    public Task Reply_OtherType_EndsIt() => Ends("answered Read /a with Mkdir", (request, daemon) =>
        daemon.ReplyAsync(request, "OK|", Xenstore.MessageType.Mkdir));

    [Fact]
    public Task Reply_TypeThatDoesNotExist_EndsIt() => Ends("answered Read /a with 99", (request, daemon) =>
        daemon.ReplyAsync(request, "", (Xenstore.MessageType)99));

    [Fact]
    public Task Error_WithoutName_EndsIt() => Ends("without naming an error", (request, daemon) =>
        daemon.ReplyAsync(request, "ENOENT", Xenstore.MessageType.Error));

    [Fact]
    public Task Event_WithoutToken_EndsIt() => Ends("without path and token", (_, daemon) =>
        daemon.SendAsync(new() { Type = Xenstore.MessageType.WatchEvent }, StoreDaemon.Bytes("/a|")));

    [Fact]
    public Task Stream_Ends_EndsIt() => Ends("xenstore closed the connection", (_, daemon) =>
    {
        daemon.Close();
        return Task.CompletedTask;
    });

    [Fact]
    public Task Stream_EndsWithinMessage_EndsIt() => Ends("xenstore closed the connection", async (_, daemon) =>
    {
        await daemon.RawAsync([2, 0, 0]);
        daemon.Close();
    });

    [Fact]
    public async Task Error_UnknownName_IsEinvalThatShowsIt()
    {
        Task<string> read = _store.ReadAsync("/a", Cancel);
        await _daemon.RefuseAsync(await _daemon.ReceiveAsync(), "EVIL\u001b[2J");

        var e = await Assert.ThrowsAsync<XenMemoryProvider.Kernel.XenException>(() => read);
        Assert.Equal((XenErrno.EINVAL, true), (e.Error, e.Message.EndsWith("The error was named EVIL??2J", StringComparison.Ordinal)));
    }

    [Theory]
    [InlineData("NO|")]
    [InlineData("OK")]
    [InlineData("")]
    public async Task Write_AnsweredWithoutOk_EndsIt(string reply)
    {
        Task write = _store.WriteAsync("/a", "v", Cancel);
        await _daemon.ReplyAsync(await _daemon.ReceiveAsync(), reply);

        Assert.Contains("something other than OK", (await Assert.ThrowsAsync<XenStoreConnectionException>(() => write)).Message);
        await _store.Completion.WaitAsync(Deadline, Cancel);
    }

    [Theory]
    [InlineData("x3|")]
    [InlineData("r|")]
    [InlineData("r70000|")]
    [InlineData("r3")]
    public async Task Permissions_Garbage_EndsIt(string reply)
    {
        Task permissions = _store.GetPermissionsAsync("/a", Cancel);
        await _daemon.ReplyAsync(await _daemon.ReceiveAsync(), reply);

        await Assert.ThrowsAsync<XenStoreConnectionException>(() => permissions);
    }

    [Theory]
    [InlineData("")]
    [InlineData("0|")]
    [InlineData("-1|")]
    [InlineData("99999999999|")]
    public async Task TransactionStart_Garbage_EndsIt(string reply)
    {
        Task transaction = _store.TransactionAsync((_, _) => Task.CompletedTask, Cancel);
        await _daemon.ReplyAsync(await _daemon.ReceiveAsync(), reply);

        await Assert.ThrowsAsync<XenStoreConnectionException>(() => transaction);
    }

    [Fact]
    public async Task DirectoryPart_ThatNeverAdvances_EndsIt()
    {
        Task list = _store.ListAsync("/a", Cancel);
        await _daemon.RefuseAsync(await _daemon.ReceiveAsync(), "E2BIG");
        await _daemon.ReplyAsync(await _daemon.ReceiveAsync(), "7|");

        await Assert.ThrowsAsync<XenStoreConnectionException>(() => list);
    }

    [Fact]
    public async Task DirectoryPart_OfAListThatAlwaysChanges_EndsIt()
    {
        Task list = _store.ListAsync("/a", Cancel);
        await _daemon.RefuseAsync(await _daemon.ReceiveAsync(), "E2BIG");
        for (int generation = 0; generation < 1000 && !_store.Completion.IsCompleted; generation++)
        {
            Task<StoreDaemon.Request> next = _daemon.ReceiveAsync();
            if (await Task.WhenAny(next, _store.Completion) != next || next.IsFaulted)
                break;

            await _daemon.ReplyAsync(await next, $"{generation}|a|");
        }

        await Assert.ThrowsAsync<XenStoreConnectionException>(() => list);
    }

    [Fact]
    public async Task Stream_OfRandomBytes_EndsAndNeverHangs()
    {
        var random = new Random(11);
        for (int round = 0; round < 200; round++)
        {
            var daemon = new StoreDaemon();
            await using var store = new XenStore(daemon.Client);
            Task<string> read = store.ReadAsync("/a", Cancel);
            StoreDaemon.Request request = await daemon.ReceiveAsync();
            var noise = new byte[random.Next(4, 200)];
            random.NextBytes(noise);
            if (random.Next(2) == 0)
            {
                // Closer to the truth: a header that almost fits.
                noise[0] = (byte)random.Next(24);
                noise[1] = noise[2] = noise[3] = 0;
                if (noise.Length >= 8) BitConverter.GetBytes(request.Header.RequestId).CopyTo(noise, 4);
            }
            await daemon.RawAsync(noise);
            daemon.Close();

            await store.Completion.WaitAsync(Deadline, Cancel);
            Exception? e = await Record.ExceptionAsync(() => read.WaitAsync(Deadline, Cancel));
            Assert.True(e is null or XenStoreConnectionException or XenMemoryProvider.Kernel.XenException, $"round {round}: {e}");
        }
    }

    private async Task Ends(string reason, Func<StoreDaemon.Request, StoreDaemon, Task> attack)
    {
        Task<string> read = _store.ReadAsync("/a", Cancel);
        await attack(await _daemon.ReceiveAsync(), _daemon);

        XenStoreConnectionException e = await Assert.ThrowsAsync<XenStoreConnectionException>(() => read.WaitAsync(Deadline, Cancel));
        Assert.Contains(reason, e.Message);
        e = await Assert.ThrowsAsync<XenStoreConnectionException>(() => _store.ReadAsync("/b", Cancel));
        Assert.Contains(reason, e.Message);
        await _store.Completion.WaitAsync(Deadline, Cancel);
    }
}

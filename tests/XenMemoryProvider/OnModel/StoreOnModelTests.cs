using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using XenMemoryProvider.Store;
using XenModel;
using XenModel.Store;
using Xunit;

namespace XenMemoryProvider.Tests.OnModel;

/// <summary>The client against a xenstored that keeps the rules.</summary>
public sealed class StoreOnModelTests : IAsyncDisposable
{
    private readonly Hypervisor _xen = new();
    private readonly XenStoreDaemon _daemon;
    private readonly XenStore _store;

    public StoreOnModelTests()
    {
        _daemon = new XenStoreDaemon(_xen);
        _store = new XenStore(_daemon.Connect(0));
    }

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public async ValueTask DisposeAsync()
    {
        await _store.DisposeAsync();
        await _daemon.DisposeAsync();
        _xen.Dispose();
    }

    [Fact]
    public async Task Nodes_Life()
    {
        await _store.WriteAsync("/a/b/c", "välue", Cancel);
        await _store.MakeDirectoryAsync("/a/b/d", Cancel);
        await _store.SetPermissionsAsync("/a", [new(XenStoreAccess.None, 0), new(XenStoreAccess.Read, 3)], Cancel);

        Assert.Equal("välue", await _store.ReadAsync("/a/b/c", Cancel));
        Assert.Equal(["c", "d"], await _store.ListAsync("/a/b", Cancel));
        Assert.Equal([new(XenStoreAccess.None, 0), new(XenStoreAccess.Read, 3)], await _store.GetPermissionsAsync("/a", Cancel));
        await _store.RemoveAsync("/a", Cancel);
        Assert.Null(await _store.TryReadAsync("/a/b/c", Cancel));
        Assert.Equal("/local/domain/7", await _store.GetDomainPathAsync(7, Cancel));
        Assert.False(await _store.IsDomainIntroducedAsync(7, Cancel));
        Assert.Equal(XenErrno.EINVAL, (await Assert.ThrowsAsync<XenException>(() => _store.ReadAsync("/a//b", Cancel))).Error);
    }

    [Fact]
    public async Task List_MoreThanAMessageHolds_IsComplete()
    {
        string[] names = [.. Enumerable.Range(0, 700).Select(i => $"node{i:d6}")];
        await Task.WhenAll(names.Select(name => _store.WriteAsync($"/many/{name}", "", Cancel)));

        Assert.Equal(names, (await _store.ListAsync("/many", Cancel)).Order());
    }

    [Fact]
    public async Task Watch_SeesWhatOthersWrite()
    {
        await using var other = new XenStore(_daemon.Connect(0));
        await using XenStoreWatch watch = await _store.WatchAsync("/w", Cancel);
        Assert.Equal("/w", await watch.NextAsync(Cancel));

        await other.WriteAsync("/w/x/y", "1", Cancel);

        Assert.StartsWith("/w/x", await watch.NextAsync(Cancel));
    }

    [Fact]
    public async Task Watch_DomainsComeAndGo()
    {
        await using XenStoreWatch released = await _store.WatchAsync("@releaseDomain", Cancel);
        Assert.Equal("@releaseDomain", await released.NextAsync(Cancel));
        using var guest = new ModelGuest(memoryMiB: 1, xen: _xen);
        await _store.IntroduceAsync(guest.Id, 0xfeffc, 1, Cancel);

        _xen.DestroyDomain(guest.Id);

        Assert.Equal("@releaseDomain", await released.NextAsync(Cancel));
    }

    [Fact]
    public async Task Transaction_Counters_LoseNoUpdate()
    {
        await _store.WriteAsync("/counter", "0", Cancel);
        await Task.WhenAll(Enumerable.Range(0, 8).Select(async _ =>
        {
            await using var client = new XenStore(_daemon.Connect(0), new XenStoreOptions { TransactionAttempts = 1000 });
            for (int i = 0; i < 10; i++)
            {
                await client.TransactionAsync(async (nodes, token) =>
                {
                    int value = int.Parse(await nodes.ReadAsync("/counter", token));
                    await nodes.WriteAsync("/counter", $"{value + 1}", token);
                }, Cancel);
            }
        }));

        Assert.Equal("80", await _store.ReadAsync("/counter", Cancel));
    }

    [Fact]
    public async Task Transaction_Thrown_ChangesNothing()
    {
        await Assert.ThrowsAsync<InvalidOperationException>(() => _store.TransactionAsync(async (nodes, token) =>
        {
            await nodes.WriteAsync("/never", "1", token);
            throw new InvalidOperationException();
        }, Cancel));

        Assert.Null(await _store.TryReadAsync("/never", Cancel));
    }

    [Fact]
    public async Task Daemon_Ends_EveryoneHears()
    {
        var daemon = new XenStoreDaemon(_xen);
        await using var store = new XenStore(daemon.Connect(0));
        await using XenStoreWatch watch = await store.WatchAsync("/w", Cancel);
        await watch.NextAsync(Cancel);

        await daemon.DisposeAsync();

        await Assert.ThrowsAsync<XenStoreConnectionException>(() => watch.NextAsync(Cancel).AsTask());
        await Assert.ThrowsAsync<XenStoreConnectionException>(() => store.ReadAsync("/a", Cancel));
    }
}

using Fuzz.Engine;
using XenMemoryProvider.Store;

namespace Fuzz.Targets;

/// <summary>Everything that can be asked of xenstore.</summary>
internal sealed class XenstoreCalls(XenStore store, FuzzInput input, HostileDaemon daemon) : IAsyncDisposable
{
    public const int Count = 16;
    private readonly List<XenStoreWatch> _watches = [];

    /// <returns>Its name.</returns>
    public string Make(int call, out Task task)
    {
        daemon.Begin();
        (string name, task) = call switch
        {
            0 => ("read", Checked(store.ReadBytesAsync("/a"))),
            1 => ("write", store.WriteAsync("/a", "value")),
            2 => ("list", Checked(store.ListAsync("/a"))),
            3 => ("permissions", store.GetPermissionsAsync("/a")),
            4 => ("watch", WatchAsync(input.Pick("/w", "@releaseDomain"))),
            5 => ("transaction", store.TransactionAsync(static (transaction, cancel) => transaction.WriteAsync("/t", "1", cancel))),
            6 => ("read in a transaction", store.TransactionAsync(static async (transaction, cancel) =>
            {
                await transaction.ReadAsync("/t", cancel).ConfigureAwait(false);
                await transaction.ListAsync("/t", cancel).ConfigureAwait(false);
            })),
            7 => ("domain path", store.GetDomainPathAsync(3)),
            8 => ("is introduced", store.IsDomainIntroducedAsync(3)),
            9 => ("remove", store.RemoveAsync("/a")),
            10 => ("try read", store.TryReadAsync("/a")),
            11 => ("set permissions", store.SetPermissionsAsync("/a", [new XenStorePermission(XenStoreAccess.None, 3)])),
            12 => ("reset watches", store.ResetWatchesAsync()),
            13 => ("control", store.ControlAsync("print", "x")),
            14 => ("unwatch", UnwatchAsync()),
            _ => ("many", Task.WhenAll(store.ReadAsync("/a"), store.ListAsync("/b"), store.WriteAsync("/c", "d"))),
        };
        return name;
    }

    /// <summary>What came for the watches: never more than they hold and one.</summary>
    public void CheckWatches(Behaviour seen)
    {
        foreach (XenStoreWatch watch in _watches)
        {
            for (int i = 0; i < 6; i++)
            {
                ValueTask<string> next = watch.NextAsync();
                if (!next.IsCompleted)
                {
                    // It waits for another one and is told when the connection ends.
                    _ = next.AsTask().ContinueWith(static task => _ = task.Exception, TaskScheduler.Default);
                    break;
                }

                seen.Saw(next.IsCompletedSuccessfully ? "an event" : "a watch that ended");
                if (!next.IsCompletedSuccessfully)
                {
                    _ = next.AsTask().Exception;
                    break;
                }

                FindingException.Require(i < 5, "a watch holds more than it may");
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        foreach (XenStoreWatch watch in _watches)
            await watch.DisposeAsync().ConfigureAwait(false);
    }

    private async Task WatchAsync(string path)
    {
        XenStoreWatch watch = await store.WatchAsync(path).ConfigureAwait(false);
        _watches.Add(watch);
    }

    private async Task UnwatchAsync()
    {
        if (_watches.Count == 0)
            return;

        XenStoreWatch watch = _watches[^1];
        _watches.RemoveAt(_watches.Count - 1);
        await watch.DisposeAsync().ConfigureAwait(false);
    }

    private async Task Checked(Task<byte[]> read)
    {
        byte[] value = await read.ConfigureAwait(false);
        FindingException.Require(daemon.Payload is null || value.AsSpan().SequenceEqual(daemon.Payload), "another value is read than was sent");
    }

    private async Task Checked(Task<IReadOnlyList<string>> list)
    {
        IReadOnlyList<string> names = await list.ConfigureAwait(false);
        FindingException.Require(names.All(static name => !name.Contains('\0')), "a name with a NUL in it");
    }
}

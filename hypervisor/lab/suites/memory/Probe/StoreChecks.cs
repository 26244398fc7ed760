using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using XenMemoryProvider.Store;

/// <summary>The client against Xen's own xenstored, over both ways.</summary>
internal static class StoreChecks
{
    private const string Root = "/local/domain/0/vhostxen-test";

    public static async Task Run(Report report, LinuxXenKernel kernel, ushort guest)
    {
        foreach (string way in new[] { "socket", "device" })
        {
            if (way == "device") Environment.SetEnvironmentVariable("XENSTORED_RUNDIR", "/nonexistent");
            await using XenStore store = XenStore.Open(kernel, new XenStoreOptions { RequestTimeout = TimeSpan.FromSeconds(20) });
            await Check(report, $"store-{way}-nodes", () => NodesAsync(store, guest));
            await Check(report, $"store-{way}-list-in-parts", () => ListAsync(store, way == "device" ? 10 : 600));
            await Check(report, $"store-{way}-watch", () => WatchAsync(store));
            await Check(report, $"store-{way}-transaction", () => TransactionAsync(kernel, store));
            await Check(report, $"store-{way}-errors", () => ErrorsAsync(store));
        }
        Environment.SetEnvironmentVariable("XENSTORED_RUNDIR", null);
    }

    private static async Task<(bool, string)> NodesAsync(XenStore store, ushort guest)
    {
        await store.WriteAsync($"{Root}/a/b", "value");
        string value = await store.ReadAsync($"{Root}/a/b");
        await store.SetPermissionsAsync($"{Root}/a", [new(XenStoreAccess.None, 0), new(XenStoreAccess.Read, guest)]);
        string permissions = string.Join(' ', await store.GetPermissionsAsync($"{Root}/a"));
        string path = await store.GetDomainPathAsync(guest);
        bool introduced = await store.IsDomainIntroducedAsync(guest), other = await store.IsDomainIntroducedAsync(999);
        string[] together = await Task.WhenAll(Enumerable.Range(0, 50).Select(_ => store.ReadAsync($"{Root}/a/b")));
        bool ok = value == "value" && permissions == $"n0 r{guest}" && path == $"/local/domain/{guest}" && introduced && !other && together.All(text => text == "value");
        return (ok, $"{value}, {permissions}, {path}, introduced {introduced}, 999 {other}, {together.Length} reads together");
    }

    private static async Task<(bool, string)> ListAsync(XenStore store, int count)
    {
        await store.MakeDirectoryAsync($"{Root}/list");
        await Task.WhenAll(Enumerable.Range(0, count).Select(i => store.WriteAsync($"{Root}/list/node{i:d6}", "")));
        IReadOnlyList<string> names = await store.ListAsync($"{Root}/list");
        await store.RemoveAsync($"{Root}/list");
        return (names.Count == count && names.Distinct().Count() == count, $"{names.Count} names");
    }

    private static async Task<(bool, string)> WatchAsync(XenStore store)
    {
        await using XenStoreWatch watch = await store.WatchAsync($"{Root}/watched");
        using var late = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        string first = await watch.NextAsync(late.Token);
        await store.WriteAsync($"{Root}/watched/x", "1");
        string second = await watch.NextAsync(late.Token);
        return (first == $"{Root}/watched" && second == $"{Root}/watched/x", $"{first}, {second}");
    }

    private static async Task<(bool, string)> TransactionAsync(LinuxXenKernel kernel, XenStore store)
    {
        await using XenStore other = XenStore.Open(kernel);
        await store.WriteAsync($"{Root}/counter", "0");
        int runs = 0;
        await store.TransactionAsync(async (nodes, token) =>
        {
            int value = int.Parse(await nodes.ReadAsync($"{Root}/counter", token));
            if (runs++ == 0) await other.WriteAsync($"{Root}/counter", "10", token); // A conflict, once.
            await nodes.WriteAsync($"{Root}/counter", $"{value + 1}", token);
        });
        string after = await store.ReadAsync($"{Root}/counter");
        return (after == "11" && runs == 2, $"{after} after {runs} runs");
    }

    private static async Task<(bool, string)> ErrorsAsync(XenStore store)
    {
        var errors = new List<XenErrno>();
        Func<Task>[] attempts =
        [
            () => store.ReadAsync($"{Root}/missing"), () => store.ReadAsync("/bad//path"),
            () => store.RemoveAsync($"{Root}/missing/deeper"), () => store.GetPermissionsAsync($"{Root}/missing"),
        ];
        foreach (Func<Task> attempt in attempts)
        {
            try
            {
                await attempt();
                errors.Add(XenErrno.None);
            }
            catch (XenException e)
            {
                errors.Add(e.Error);
            }
        }
        bool removed = (await store.TryReadAsync($"{Root}/missing")) is null;
        await store.RemoveAsync(Root);
        return (removed && errors.SequenceEqual([XenErrno.ENOENT, XenErrno.EINVAL, XenErrno.ENOENT, XenErrno.ENOENT]), string.Join(' ', errors));
    }

    private static async Task Check(Report report, string name, Func<Task<(bool, string)>> check)
    {
        (bool Ok, string Detail) result;
        try
        {
            result = await check().WaitAsync(TimeSpan.FromSeconds(60));
        }
        catch (Exception e)
        {
            result = (false, $"{e.GetType().Name}: {e.Message}");
        }
        report.Check(name, () => result);
    }
}

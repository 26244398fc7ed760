using System.Globalization;
using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using XenMemoryProvider.Kernel.Linux;

namespace XenMemoryProvider.Store;

/// <summary>
/// A connection to xenstore (Xen's docs/misc/xenstore.txt). Once it is over every operation says why; who wants to go on
/// opens another and sets its watches again.
/// </summary>
public sealed partial class XenStore : XenStoreNodes, IAsyncDisposable
{
    private readonly XenStoreOptions _options;
    private uint _lastToken;

    /// <param name="stream">Messages in both directions; becomes this object's.</param>
    public XenStore(Stream stream, XenStoreOptions? options = null)
        : this(stream, options ?? new(), oneAtATime: stream is XenbusStream)
    {
    }

    internal XenStore(Stream stream, XenStoreOptions options, bool oneAtATime)
        : base(new StoreConnection(stream, options, oneAtATime)) => _options = options;

    /// <summary>Done when the connection is over.</summary>
    public Task Completion => Connection.Completion;

    /// <summary>Connects.</summary>
    /// <exception cref="XenException">See <see cref="IXenKernel.OpenXenstore"/>.</exception>
    public static XenStore Open(IXenKernel kernel, XenStoreOptions? options = null) => new(kernel.OpenXenstore(), options);

    /// <summary>Watches a node and everything below it; it may be missing still. The first event comes at once.</summary>
    /// <param name="path">Or @introduceDomain, @releaseDomain.</param>
    public async Task<XenStoreWatch> WatchAsync(string path, CancellationToken cancellationToken = default)
    {
        // The token is new each time: nothing an older watch left behind is mistaken for this one's.
        string token = string.Create(CultureInfo.InvariantCulture, $"w{Interlocked.Increment(ref _lastToken)}");
        var watch = new XenStoreWatch(Connection, path, token, _options.WatchCapacity, UnwatchAsync);
        byte[] message = StoreMessage.Build(Xenstore.MessageType.Watch, 0, [], path, token);
        Connection.AddWatch(watch); // Before the request: its event may be read together with the reply.
        try
        {
            await OkAsync(Xenstore.MessageType.Watch, path, message, cancellationToken).ConfigureAwait(false);
            return watch;
        }
        catch (Exception e)
        {
            // Refused: there is no watch. Given up: there may be one, and xenstore takes requests in order.
            if (e is XenException) Connection.RemoveWatch(watch);
            else await watch.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>
    /// Runs an action on the nodes as they are at one moment, and commits. If others changed what it saw, it is run again from
    /// the start, so it must not change anything else. If it throws, nothing is changed.
    /// </summary>
    /// <exception cref="XenException">EAGAIN: conflicts, <see cref="XenStoreOptions.TransactionAttempts"/> times in a row.</exception>
    public async Task<T> TransactionAsync<T>(Func<XenStoreTransaction, CancellationToken, Task<T>> action, CancellationToken cancellationToken = default)
    {
        for (int attempt = 1; ; attempt++)
        {
            uint id = await StartAsync(cancellationToken).ConfigureAwait(false);
            T result;
            try
            {
                result = await action(new XenStoreTransaction(Connection, id), cancellationToken).ConfigureAwait(false);
            }
            catch
            {
                await AbortAsync(id).ConfigureAwait(false);
                throw;
            }

            try
            {
                await EndAsync(id, commit: true, cancellationToken).ConfigureAwait(false);
                return result;
            }
            catch (XenException e) when (e.Error == XenErrno.EAGAIN && attempt < _options.TransactionAttempts)
            {
                // Somebody else got through. Two who collide in step would do so for ever.
                if (attempt > 1) await Task.Delay(Random.Shared.Next(Math.Min(attempt, 20)), cancellationToken).ConfigureAwait(false);
            }
        }
    }

    /// <inheritdoc cref="TransactionAsync{T}"/>
    public Task TransactionAsync(Func<XenStoreTransaction, CancellationToken, Task> action, CancellationToken cancellationToken = default) =>
        TransactionAsync(
            async (transaction, token) =>
            {
                await action(transaction, token).ConfigureAwait(false);
                return true;
            },
            cancellationToken);

    /// <summary>Closes the connection: xenstore drops its watches and open transactions.</summary>
    public ValueTask DisposeAsync() => Connection.DisposeAsync();

    private async Task<uint> StartAsync(CancellationToken cancellationToken)
    {
        byte[] message = StoreMessage.Build(Xenstore.MessageType.TransactionStart, 0, [], "");
        byte[] reply = await Connection.RequestAsync(Xenstore.MessageType.TransactionStart, "", message, cancellationToken).ConfigureAwait(false);
        List<string> strings = Strings(reply);
        return strings.Count == 1 && uint.TryParse(strings[0], NumberStyles.None, CultureInfo.InvariantCulture, out uint id) && id != 0
            ? id : throw Connection.Nonsense("xenstore started a transaction without a number");
    }

    private Task EndAsync(uint id, bool commit, CancellationToken cancellationToken) =>
        OkAsync(Xenstore.MessageType.TransactionEnd, "", StoreMessage.Build(Xenstore.MessageType.TransactionEnd, id, [], commit ? "T" : "F"), cancellationToken);

    private async Task AbortAsync(uint id)
    {
        try
        {
            await EndAsync(id, commit: false, CancellationToken.None).ConfigureAwait(false);
        }
        catch (Exception e) when (e is IOException or TimeoutException)
        {
            // What made the action fail is the better story.
        }
    }

    private async Task UnwatchAsync(XenStoreWatch watch)
    {
        try
        {
            byte[] message = StoreMessage.Build(Xenstore.MessageType.Unwatch, 0, [], watch.Path, watch.Token);
            await OkAsync(Xenstore.MessageType.Unwatch, watch.Path, message, CancellationToken.None).ConfigureAwait(false);
        }
        catch (Exception e) when (e is IOException or TimeoutException)
        {
            // Gone with the connection.
        }
    }
}

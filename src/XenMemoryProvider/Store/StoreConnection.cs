using System.Globalization;
using System.IO.Pipelines;
using System.Text;
using System.Threading.Channels;
using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;

namespace XenMemoryProvider.Store;

/// <summary>
/// One connection: requests go out whole and in order by one writer, replies find their requests by id, watch events their
/// watches by token. Whatever the other side sends that the protocol does not allow ends it.
/// </summary>
internal sealed class StoreConnection : IAsyncDisposable
{
    private readonly Stream _stream;
    private readonly XenStoreOptions _options;
    private readonly bool _oneAtATime;
    private readonly Channel<StoreRequest> _outgoing = Channel.CreateUnbounded<StoreRequest>(new() { SingleReader = true });
    private readonly CancellationTokenSource _ended = new();
    private readonly Lock _lock = new();
    private readonly Dictionary<uint, StoreRequest> _pending = [];
    private readonly Dictionary<string, XenStoreWatch> _watches = [];
    private readonly Task _reader;
    private readonly Task _writer;
    private XenStoreConnectionException? _failure;
    private uint _lastId;

    /// <param name="oneAtATime">Send a request only when the one before has its reply, as /dev/xen/xenbus needs it.</param>
    internal StoreConnection(Stream stream, XenStoreOptions options, bool oneAtATime)
    {
        _stream = stream;
        _options = options;
        _oneAtATime = oneAtATime;
        _reader = Task.Run(ReadAsync);
        _writer = Task.Run(WriteAsync);
    }

    /// <summary>Done when the connection is over.</summary>
    internal Task Completion => _reader;

    /// <returns>The reply's payload.</returns>
    /// <exception cref="XenException">What xenstore answered.</exception>
    /// <exception cref="XenStoreConnectionException">The connection is over.</exception>
    /// <exception cref="TimeoutException">No reply in time.</exception>
    internal async Task<byte[]> RequestAsync(Xenstore.MessageType type, string subject, byte[] message, CancellationToken cancellationToken)
    {
        // The kernel's device wants a whole message within 4096 bytes, and would drop what it holds of a longer one.
        if (_oneAtATime && message.Length > Xenstore.PayloadMax)
            throw new XenException($"xenstore {type} {subject}", null, (int)XenErrno.E2BIG, "/dev/xen/xenbus takes 16 bytes less than the daemon's socket");

        var request = new StoreRequest(type, message, subject);
        lock (_lock)
        {
            if (_failure is not null) throw Ended(_failure);
            do _lastId++;
            while (_lastId == 0 || _pending.ContainsKey(_lastId));
            StoreMessage.SetId(message, _lastId);
            _pending.Add(_lastId, request);
            _outgoing.Writer.TryWrite(request);
        }

        try
        {
            return await request.Task.WaitAsync(_options.RequestTimeout, cancellationToken).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            request.Abandoned = true;
            throw new TimeoutException($"xenstore did not answer {Name(request)} within {_options.RequestTimeout.TotalSeconds:0.###} s");
        }
        catch (OperationCanceledException)
        {
            request.Abandoned = true;
            throw;
        }
    }

    internal void AddWatch(XenStoreWatch watch)
    {
        lock (_lock)
        {
            if (_failure is not null) throw Ended(_failure);
            _watches.Add(watch.Token, watch);
        }
    }

    internal void RemoveWatch(XenStoreWatch watch)
    {
        lock (_lock) _watches.Remove(watch.Token);
    }

    /// <summary>Ends the connection because a reply made no sense.</summary>
    internal XenStoreConnectionException Nonsense(string what)
    {
        var failure = new XenStoreConnectionException(what);
        End(failure);
        return failure;
    }

    public async ValueTask DisposeAsync()
    {
        End(new XenStoreConnectionException("the connection to xenstore was closed on this side"));
        await Task.WhenAll(_reader, _writer).ConfigureAwait(false);
        _ended.Dispose();
    }

    private async Task ReadAsync()
    {
        PipeReader pipe = PipeReader.Create(_stream, new StreamPipeReaderOptions(leaveOpen: true));
        try
        {
            while (true)
            {
                ReadResult read = await pipe.ReadAsync(_ended.Token).ConfigureAwait(false);
                var received = read.Buffer;
                while (StoreMessage.TryTake(ref received, out Xenstore.Header header, out byte[] payload)) Dispatch(header, payload);
                if (read.IsCompleted) throw new XenStoreConnectionException("xenstore closed the connection");
                pipe.AdvanceTo(received.Start, received.End);
            }
        }
        catch (XenStoreConnectionException e)
        {
            End(e);
        }
        catch (Exception e)
        {
            End(new XenStoreConnectionException($"the connection to xenstore broke: {e.Message}", e));
        }
        await pipe.CompleteAsync().ConfigureAwait(false);
    }

    private async Task WriteAsync()
    {
        try
        {
            await foreach (StoreRequest request in _outgoing.Reader.ReadAllAsync(_ended.Token).ConfigureAwait(false))
            {
                // Whole messages, one write each: the kernel's device wants it, and half a message could not be taken back.
                if (request.Abandoned)
                {
                    Forget(request);
                    continue;
                }
                await _stream.WriteAsync(request.Message, _ended.Token).ConfigureAwait(false);
                if (_oneAtATime) await ((Task)request.Task).WaitAsync(_ended.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
        catch (Exception e)
        {
            End(new XenStoreConnectionException($"the connection to xenstore broke: {e.Message}", e));
        }
    }

    private void Dispatch(in Xenstore.Header header, byte[] payload)
    {
        if (header.Type == Xenstore.MessageType.WatchEvent)
        {
            DispatchEvent(payload);
            return;
        }

        StoreRequest? request;
        lock (_lock) _pending.Remove(header.RequestId, out request);
        if (request is null)
            throw new XenStoreConnectionException($"xenstore answered request {header.RequestId}, which is not open, with {header.Type}");

        if (header.Type == request.Type)
        {
            if (request is { Abandoned: true, Type: Xenstore.MessageType.TransactionStart }) AbortLate(payload);
            request.TrySetResult(payload);
            return;
        }

        Exception refusal = header.Type == Xenstore.MessageType.Error
            ? Refusal(request, payload) : new XenStoreConnectionException($"xenstore answered {Name(request)} with {header.Type}");
        request.TrySetException(refusal);
        if (refusal is XenStoreConnectionException) throw refusal;
    }

    private void DispatchEvent(byte[] payload)
    {
        // Path and token; newer servers may append more.
        if (!StoreMessage.TrySplit(payload, out List<string> strings) || strings.Count < 2)
            throw new XenStoreConnectionException($"xenstore sent a watch event of {payload.Length} bytes without path and token");

        XenStoreWatch? watch;
        lock (_lock) _watches.TryGetValue(strings[1], out watch);
        watch?.Post(strings[0]); // Else it was sent before the watch was taken back.
    }

    private static Exception Refusal(StoreRequest request, byte[] payload)
    {
        if (!StoreMessage.TrySplit(payload, out List<string> strings) || strings.Count != 1)
            return new XenStoreConnectionException($"xenstore refused {Name(request)} without naming an error");
        XenErrno error = Xenstore.ParseErrorName(strings[0]);
        string? hint = strings[0] == Xenstore.ErrorName(error) ? null : $"The error was named {Printable(strings[0])}";
        return new XenException($"xenstore {Name(request)}", null, (int)error, hint);
    }

    // The caller gave up on it, but the transaction is there, and a domain may have ten.
    private void AbortLate(byte[] payload)
    {
        if (!uint.TryParse(Encoding.ASCII.GetString(payload).TrimEnd('\0'), CultureInfo.InvariantCulture, out uint id)) return;
        byte[] message = StoreMessage.Build(Xenstore.MessageType.TransactionEnd, id, [], "F");
        _ = RequestAsync(Xenstore.MessageType.TransactionEnd, "", message, default).ContinueWith(
            static task => _ = task.Exception, CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted, TaskScheduler.Default);
    }

    private void Forget(StoreRequest request)
    {
        lock (_lock)
        {
            uint id = BitConverter.ToUInt32(request.Message, 4);
            if (_pending.TryGetValue(id, out StoreRequest? pending) && pending == request) _pending.Remove(id);
        }
    }

    private void End(XenStoreConnectionException reason)
    {
        StoreRequest[] pending;
        XenStoreWatch[] watches;
        lock (_lock)
        {
            if (_failure is not null) return;
            _failure = reason;
            pending = [.. _pending.Values];
            watches = [.. _watches.Values];
            _pending.Clear();
            _watches.Clear();
            _outgoing.Writer.TryComplete();
        }

        foreach (StoreRequest request in pending) request.TrySetException(reason);
        foreach (XenStoreWatch watch in watches) watch.End(reason);
        _ended.Cancel();
        _stream.Dispose();
    }

    // A new object each time: an exception that several callers throw collects all their stacks.
    private static XenStoreConnectionException Ended(XenStoreConnectionException failure) => new(failure.Message, failure);

    private static string Name(StoreRequest request) => request.Subject.Length == 0 ? $"{request.Type}" : $"{request.Type} {request.Subject}";

    private static string Printable(string text) =>
        new([.. text.Take(32).Select(static letter => char.IsAsciiLetterOrDigit(letter) ? letter : '?')]);
}

using System.Buffers;
using System.IO.Pipelines;
using System.Runtime.InteropServices;
using System.Threading.Channels;
using XenMemoryProvider.Abi;

namespace XenModel.Store;

/// <summary>
/// One connection over a byte stream: frames messages, hands them to the server, writes what it sends. It ends when the peer
/// does, when a message is malformed, or when the peer does not read what it is sent.
/// </summary>
internal sealed class StoreSession
{
    // A peer that lets so many messages lie is not coming back for them.
    private const int MaxUnread = 16384;

    private readonly StoreServer _server;
    private readonly Stream _stream;
    private readonly StoreClient _client;
    private readonly Channel<byte[]> _outbox = Channel.CreateBounded<byte[]>(new BoundedChannelOptions(MaxUnread) { SingleReader = true });
    private readonly CancellationTokenSource _end = new();

    public StoreSession(StoreServer server, Stream stream, ushort domid, bool privileged)
    {
        _server = server;
        _stream = stream;
        _client = new StoreClient(domid, privileged, Send);
    }

    /// <summary>Serves until the connection ends. Closes the stream.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        using CancellationTokenRegistration stopping = stop.Register(End);
        _server.Connect(_client);
        Task writing = WriteAsync(_end.Token);
        try
        {
            await ReadAsync(_end.Token).ConfigureAwait(false);
        }
        catch (Exception ended) when (ended is IOException or OperationCanceledException or ObjectDisposedException)
        {
        }
        finally
        {
            _server.Disconnect(_client);
            _outbox.Writer.TryComplete();
            await _end.CancelAsync().ConfigureAwait(false);
            await writing.ConfigureAwait(false);
            await _stream.DisposeAsync().ConfigureAwait(false);
            _end.Dispose();
        }
    }

    private async Task ReadAsync(CancellationToken cancel)
    {
        PipeReader reader = PipeReader.Create(_stream, new StreamPipeReaderOptions(leaveOpen: true));
        while (true)
        {
            ReadResult result = await reader.ReadAsync(cancel).ConfigureAwait(false);
            ReadOnlySequence<byte> buffer = result.Buffer;
            while (TryTake(ref buffer, out Xenstore.Header header, out ReadOnlySequence<byte> payload, out bool malformed))
            {
                if (malformed) return;
                _server.Handle(_client, header, payload.IsSingleSegment ? payload.FirstSpan : payload.ToArray());
            }

            reader.AdvanceTo(buffer.Start, buffer.End);
            if (result.IsCompleted) return;
        }
    }

    // A whole message off the front. A header with a length beyond the limit is taken as malformed at once.
    private static bool TryTake(ref ReadOnlySequence<byte> buffer, out Xenstore.Header header, out ReadOnlySequence<byte> payload, out bool malformed)
    {
        payload = default;
        header = default;
        malformed = false;
        if (buffer.Length < Xenstore.HeaderSize) return false;
        Span<byte> bytes = stackalloc byte[Xenstore.HeaderSize];
        buffer.Slice(0, Xenstore.HeaderSize).CopyTo(bytes);
        header = MemoryMarshal.Read<Xenstore.Header>(bytes);
        malformed = header.Length > Xenstore.PayloadMax;
        if (malformed) return true;
        if (buffer.Length < Xenstore.HeaderSize + header.Length) return false;
        payload = buffer.Slice(Xenstore.HeaderSize, header.Length);
        buffer = buffer.Slice(payload.End);
        return true;
    }

    private async Task WriteAsync(CancellationToken cancel)
    {
        try
        {
            await foreach (byte[] message in _outbox.Reader.ReadAllAsync(cancel).ConfigureAwait(false))
            {
                await _stream.WriteAsync(message, cancel).ConfigureAwait(false);
                await _stream.FlushAsync(cancel).ConfigureAwait(false);
            }
        }
        catch (Exception ended) when (ended is IOException or OperationCanceledException or ObjectDisposedException)
        {
            await _end.CancelAsync().ConfigureAwait(false);
        }
    }

    private void Send(byte[] message)
    {
        // Ended by another thread: this one holds the server's lock and is in the middle of telling others.
        if (!_outbox.Writer.TryWrite(message)) ThreadPool.UnsafeQueueUserWorkItem(static session => session.End(), this, preferLocal: false);
    }

    private void End()
    {
        try
        {
            _end.Cancel();
        }
        catch (ObjectDisposedException)
        {
            // It ended by itself meanwhile.
        }
    }
}

using System.IO.Pipelines;
using System.Runtime.InteropServices;
using System.Text;
using XenMemoryProvider.Abi;

namespace XenMemoryProvider.Tests.Fakes;

/// <summary>The daemon's end of a connection to xenstore: the test reads requests and writes whatever it likes.</summary>
internal sealed class StoreDaemon
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);

    private readonly Pipe _requests = new();
    private readonly Pipe _replies = new();
    private readonly Stream _in;
    private readonly Stream _out;

    public StoreDaemon()
    {
        _in = _requests.Reader.AsStream();
        _out = _replies.Writer.AsStream();
        Client = new DuplexStream(_replies.Reader.AsStream(), _requests.Writer.AsStream());
    }

    public readonly record struct Request(Xenstore.Header Header, byte[] Payload)
    {
        public Xenstore.MessageType Type => Header.Type;

        public string Text => Encoding.UTF8.GetString(Payload).Replace('\0', '|');
    }

    /// <summary>For the client.</summary>
    public Stream Client { get; }

    public async Task<Request> ReceiveAsync()
    {
        var header = new byte[Xenstore.HeaderSize];
        await _in.ReadExactlyAsync(header).AsTask().WaitAsync(Deadline);
        var parsed = MemoryMarshal.Read<Xenstore.Header>(header);
        var payload = new byte[parsed.Length];
        await _in.ReadExactlyAsync(payload).AsTask().WaitAsync(Deadline);
        return new Request(parsed, payload);
    }

    /// <summary>Receives a request that must be this, and answers it; "|" is a NUL.</summary>
    public async Task<Request> AnswerAsync(Xenstore.MessageType type, string text, string reply, Xenstore.MessageType? replyType = null)
    {
        Request request = await ReceiveAsync();
        Xunit.Assert.Equal((type, text), (request.Type, request.Text));
        await ReplyAsync(request, reply, replyType);
        return request;
    }

    public Task ReplyAsync(Request request, string text, Xenstore.MessageType? type = null) =>
        SendAsync(request.Header with { Type = type ?? request.Type }, Bytes(text));

    public Task RefuseAsync(Request request, string error) => ReplyAsync(request, error + "|", Xenstore.MessageType.Error);

    public Task EventAsync(string path, string token) => SendAsync(new() { Type = Xenstore.MessageType.WatchEvent }, Bytes($"{path}|{token}|"));

    public Task SendAsync(Xenstore.Header header, byte[] payload)
    {
        header.Length = (uint)payload.Length;
        byte[] message = [.. MemoryMarshal.AsBytes(new ReadOnlySpan<Xenstore.Header>(in header)), .. payload];
        return RawAsync(message);
    }

    public async Task RawAsync(byte[] bytes)
    {
        await _out.WriteAsync(bytes);
        await _out.FlushAsync();
    }

    public void Close() => _out.Dispose();

    public static byte[] Bytes(string text) => Encoding.UTF8.GetBytes(text.Replace('|', '\0'));

    private sealed class DuplexStream(Stream read, Stream write) : Stream
    {
        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => true;

        public override long Length => throw new NotSupportedException();

        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

        public override int Read(byte[] buffer, int offset, int count) => read.Read(buffer, offset, count);

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) => read.ReadAsync(buffer, cancellationToken);

        public override void Write(byte[] buffer, int offset, int count) => write.Write(buffer, offset, count);

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) => write.WriteAsync(buffer, cancellationToken);

        public override void Flush() => write.Flush();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        protected override void Dispose(bool disposing)
        {
            if (disposing) write.Dispose();
            base.Dispose(disposing);
        }
    }
}

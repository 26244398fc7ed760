using System.Runtime.InteropServices;
using System.Text;
using XenMemoryProvider.Abi;
using Type = XenMemoryProvider.Abi.Xenstore.MessageType;

namespace Conformance.Scripts;

/// <summary>A connection to xenstore, message by message: what the client would never send included.</summary>
internal sealed class StoreWire(Stream stream) : IDisposable
{
    private readonly Queue<string> _events = new();
    private uint _request;

    /// <summary>Asks and waits.</summary>
    /// <param name="payload">As on the wire.</param>
    /// <returns>The payload of the reply, or the error's name. Ends of strings are shown as spaces, but for the last.</returns>
    public string Ask(Type type, string payload, uint transaction = 0)
    {
        Send(type, Encoding.Latin1.GetBytes(payload), transaction);
        while (true)
        {
            (Xenstore.Header header, string text) = Receive();
            if (header.Type == Type.WatchEvent)
            {
                _events.Enqueue(text);
                continue;
            }

            if (header.RequestId != _request) return $"a reply to request {header.RequestId}";
            return text;
        }
    }

    public string Read(string path, uint transaction = 0) => Ask(Type.Read, path + "\0", transaction);

    public string Write(string path, string value, uint transaction = 0) => Ask(Type.Write, $"{path}\0{value}", transaction);

    public string Remove(string path, uint transaction = 0) => Ask(Type.Rm, path + "\0", transaction);

    public string List(string path, uint transaction = 0) => Ask(Type.Directory, path + "\0", transaction);

    public string Permissions(string path) => Ask(Type.GetPerms, path + "\0");

    public string SetPermissions(string path, params string[] permissions) => Ask(Type.SetPerms, $"{path}\0{string.Concat(permissions.Select(entry => entry + "\0"))}");

    public string Watch(string path, string token) => Ask(Type.Watch, $"{path}\0{token}\0");

    public string Unwatch(string path, string token) => Ask(Type.Unwatch, $"{path}\0{token}\0");

    /// <summary>Begins a transaction.</summary>
    public uint Begin() => uint.Parse(Ask(Type.TransactionStart, "\0"), System.Globalization.CultureInfo.InvariantCulture);

    public string End(uint transaction, bool commit = true) => Ask(Type.TransactionEnd, commit ? "T\0" : "F\0", transaction);

    /// <summary>The events that came so far, the daemon's queue included: "path token, path token".</summary>
    public Outcome Events()
    {
        // Whatever was sent before the reply to this comes before it.
        Ask(Type.GetDomainPath, "0\0");
        string all = string.Join(", ", _events);
        _events.Clear();
        return all.Length == 0 ? "none" : all;
    }

    public void Dispose() => stream.Dispose();

    private void Send(Type type, byte[] payload, uint transaction)
    {
        var header = new Xenstore.Header { Type = type, RequestId = ++_request, TransactionId = transaction, Length = (uint)payload.Length };
        byte[] message = new byte[Xenstore.HeaderSize + payload.Length];
        MemoryMarshal.Write(message, in header);
        payload.CopyTo(message, Xenstore.HeaderSize);
        stream.Write(message);
        stream.Flush();
    }

    private (Xenstore.Header Header, string Text) Receive()
    {
        byte[] bytes = new byte[Xenstore.HeaderSize];
        stream.ReadExactly(bytes);
        var header = MemoryMarshal.Read<Xenstore.Header>(bytes);
        byte[] payload = new byte[header.Length];
        stream.ReadExactly(payload);
        string text = Encoding.Latin1.GetString(payload);
        return (header, (text.EndsWith('\0') ? text[..^1] : text).Replace('\0', ' '));
    }
}

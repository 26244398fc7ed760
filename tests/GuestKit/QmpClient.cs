using System.Net.Sockets;
using System.Text.Json.Nodes;

namespace GuestKit;

/// <summary>QEMU's control protocol: one JSON object per line. One command at a time; events are kept for whoever waits.</summary>
public sealed class QmpClient : IDisposable
{
    private readonly Socket _socket;
    private readonly StreamReader _reader;
    private readonly StreamWriter _writer;
    private readonly Queue<JsonObject> _events = new();

    private QmpClient(Socket socket)
    {
        _socket = socket;
        var stream = new NetworkStream(socket);
        _reader = new StreamReader(stream);
        _writer = new StreamWriter(stream) { AutoFlush = true, NewLine = "\n" };
    }

    public static async Task<QmpClient> ConnectAsync(string path)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await socket.ConnectAsync(new UnixDomainSocketEndPoint(path));
        var client = new QmpClient(socket);
        await client.ReadAsync(); // the greeting
        await client.ExecuteAsync("qmp_capabilities");
        return client;
    }

    /// <summary>Executes a command and returns its "return" member.</summary>
    public async Task<JsonNode?> ExecuteAsync(string command, JsonObject? arguments = null)
    {
        var request = new JsonObject { ["execute"] = command };
        if (arguments is not null)
            request["arguments"] = arguments;
        await _writer.WriteLineAsync(request.ToJsonString());
        while (true)
        {
            JsonObject answer = await ReadAsync();
            if (answer.ContainsKey("event"))
                _events.Enqueue(answer);
            else if (answer["error"] is { } error)
                throw new GuestRunException($"QMP {command}: {error["desc"]}");
            else
                return answer["return"];
        }
    }

    /// <summary>Waits for an event of that name that satisfies the condition, and drops those before it.</summary>
    public async Task<JsonObject> WaitForEventAsync(string name, TimeSpan deadline, Func<JsonObject, bool>? condition = null)
    {
        async Task<JsonObject> FindAsync()
        {
            while (true)
            {
                JsonObject next = _events.TryDequeue(out JsonObject? kept) ? kept : await ReadAsync();
                if ((string?)next["event"] == name && (condition is null || condition(next)))
                    return next;
            }
        }

        return await FindAsync().WaitAsync(deadline);
    }

    public void Dispose() => _socket.Dispose();

    private async Task<JsonObject> ReadAsync()
    {
        string line = await _reader.ReadLineAsync() ?? throw new GuestRunException("QEMU closed its control socket");
        return (JsonObject)JsonNode.Parse(line)!;
    }
}

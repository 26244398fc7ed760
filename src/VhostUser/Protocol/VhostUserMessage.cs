namespace VhostUser.Protocol;

/// <summary>One message as it came off the socket: header, payload, descriptors. Disposing closes the descriptors left.</summary>
internal sealed class VhostUserMessage(MessageHeader header, byte[] payload, ReceivedFds fds) : IDisposable
{
    public MessageHeader Header { get; } = header;

    public ReadOnlyMemory<byte> Payload { get; } = payload;

    public ReceivedFds Fds { get; } = fds;

    /// <summary>Reads a payload of one value, and nothing after it.</summary>
    /// <param name="name">The message's name for the error text.</param>
    /// <exception cref="ProtocolException">The payload is shorter or longer.</exception>
    public T Read<T>(string name)
        where T : struct, IPayload<T>
    {
        var reader = new MessageReader(name, Payload.Span);
        T value = reader.ReadPayload<T>();
        reader.End();
        return value;
    }

    public MessageReader Reader(string name) => new(name, Payload.Span);

    public void Dispose() => Fds.Dispose();
}

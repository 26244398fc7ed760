namespace VhostUser.Protocol;

/// <summary>A payload of fixed size that can be read from and written to the wire.</summary>
internal interface IPayload<TSelf>
    where TSelf : struct, IPayload<TSelf>
{
    /// <summary>Bytes on the wire as this library sends it.</summary>
    static abstract int WireSize { get; }

    /// <exception cref="ProtocolException">It is cut short, or reserved bits are set.</exception>
    static abstract TSelf Read(ref MessageReader reader);

    void Write(ref MessageWriter writer);
}

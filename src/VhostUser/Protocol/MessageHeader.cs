using System.Runtime.InteropServices;

namespace VhostUser.Protocol;

/// <summary>The 12 bytes in front of every message, in the byte order of the machine.</summary>
/// <param name="Request">A <see cref="FrontendRequest"/> or <see cref="BackendRequest"/>.</param>
/// <param name="Flags">Version, reply, need-reply.</param>
/// <param name="Size">Bytes of payload that follow.</param>
internal readonly record struct MessageHeader(uint Request, MessageFlags Flags, uint Size)
{
    public const int WireSize = 12;

    public bool IsReply => (Flags & MessageFlags.Reply) != 0;

    public bool NeedsReply => (Flags & MessageFlags.NeedReply) != 0;

    /// <summary>Reads and checks version and reserved flags.</summary>
    /// <exception cref="ProtocolException">The version is not 1, or a reserved flag is set.</exception>
    public static MessageHeader Parse(ReadOnlySpan<byte> bytes)
    {
        var header = new MessageHeader(
            MemoryMarshal.Read<uint>(bytes),
            (MessageFlags)MemoryMarshal.Read<uint>(bytes[4..]),
            MemoryMarshal.Read<uint>(bytes[8..]));
        if ((header.Flags & MessageFlags.VersionMask) != MessageFlags.Version1)
            throw new ProtocolException($"message {header.Request}", $"version {(uint)(header.Flags & MessageFlags.VersionMask)} in its header, expected 1");

        if ((header.Flags & ~MessageFlags.Known) != 0)
            throw new ProtocolException($"message {header.Request}", $"reserved header flags 0x{(uint)header.Flags:x}");

        return header;
    }

    public void Write(Span<byte> bytes)
    {
        MemoryMarshal.Write(bytes, Request);
        MemoryMarshal.Write(bytes[4..], (uint)Flags);
        MemoryMarshal.Write(bytes[8..], Size);
    }
}

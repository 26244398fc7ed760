namespace VhostUser.Protocol;

/// <summary>The second word of a message header.</summary>
[Flags]
internal enum MessageFlags : uint
{
    None = 0,

    /// <summary>The only version there is, in bits 0 and 1.</summary>
    Version1 = 0x1,

    VersionMask = 0x3,

    /// <summary>This message answers another one.</summary>
    Reply = 0x4,

    /// <summary>The sender wants a u64 back, 0 for success (needs REPLY_ACK).</summary>
    NeedReply = 0x8,

    Known = VersionMask | Reply | NeedReply,
}

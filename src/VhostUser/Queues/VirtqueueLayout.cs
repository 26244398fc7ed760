using VhostUser.Protocol;

namespace VhostUser.Queues;

/// <summary>
/// A ring's memory, found and checked by the session: each part is contiguous, aligned and long enough for
/// <see cref="Size"/> entries and the event fields.
/// </summary>
internal readonly unsafe struct VirtqueueLayout
{
    /// <summary>Entries. A power of two up to 32768 for split rings, anything from 1 to 32768 for packed ones.</summary>
    public required int Size { get; init; }

    /// <summary>Descriptor table (split, 16-byte aligned) or descriptor ring (packed, 16-byte aligned).</summary>
    public required byte* Descriptors { get; init; }

    /// <summary>Available ring (split, 2-byte aligned) or driver event suppression (packed, 4-byte aligned).</summary>
    public required byte* Driver { get; init; }

    /// <summary>Used ring (split, 4-byte aligned) or device event suppression (packed, 4-byte aligned).</summary>
    public required byte* Device { get; init; }

    /// <summary>Where used entries are logged (VHOST_VRING_F_LOG): log_guest_addr of SET_VRING_ADDR. Null without the flag.</summary>
    public GuestAddress? LogAddress { get; init; }

    /// <summary>
    /// Guest address of <see cref="Descriptors"/> where it is known. Packed rings are written there, and log it there:
    /// log_guest_addr is the event suppression structure's with some front-ends, the ring's with others.
    /// </summary>
    public GuestAddress? DescriptorsAddress { get; init; }

    /// <summary>Guest address of <see cref="Device"/> where it is known; packed rings log event suppression there.</summary>
    public GuestAddress? DeviceAddress { get; init; }

    /// <summary>Bytes of each part for a ring of this size and form, event fields included.</summary>
    public static (ulong Descriptors, ulong Driver, ulong Device) Sizes(bool packed, int size)
        => packed
            ? (16UL * (ulong)size, 4, 4)
            : (16UL * (ulong)size, 6 + (2UL * (ulong)size), 6 + (8UL * (ulong)size));
}

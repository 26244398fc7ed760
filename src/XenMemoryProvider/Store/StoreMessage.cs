using System.Buffers;
using System.Runtime.InteropServices;
using System.Text;
using XenMemoryProvider.Abi;

namespace XenMemoryProvider.Store;

/// <summary>Messages as bytes: building requests, cutting replies out of a stream.</summary>
internal static class StoreMessage
{
    /// <summary>A request of strings, each with its NUL, and perhaps raw bytes behind them. Its id is 0 still.</summary>
    /// <exception cref="ArgumentException">A string holds a NUL, or it is all too long for a message.</exception>
    internal static byte[] Build(Xenstore.MessageType type, uint transaction, ReadOnlySpan<byte> raw, params ReadOnlySpan<string> strings)
    {
        int length = raw.Length;
        foreach (string text in strings)
        {
            if (text.Contains('\0')) throw new ArgumentException("A NUL ends a string in xenstore; it cannot be inside one.");
            length += Encoding.UTF8.GetByteCount(text) + 1;
        }
        if (length > Xenstore.PayloadMax)
            throw new ArgumentException($"{length} bytes do not fit a message to xenstore, which holds {Xenstore.PayloadMax}.");

        var message = new byte[Xenstore.HeaderSize + length];
        MemoryMarshal.Write(message, new Xenstore.Header { Type = type, TransactionId = transaction, Length = (uint)length });
        int at = Xenstore.HeaderSize;
        foreach (string text in strings) at += Encoding.UTF8.GetBytes(text, message.AsSpan(at)) + 1;
        raw.CopyTo(message.AsSpan(at));
        return message;
    }

    internal static void SetId(byte[] message, uint id) => MemoryMarshal.Write(message.AsSpan(4), id);

    /// <summary>Takes one message off the front of what was received.</summary>
    /// <returns>False: more bytes are needed.</returns>
    /// <exception cref="XenStoreConnectionException">The message claims to be longer than any may be.</exception>
    internal static bool TryTake(ref ReadOnlySequence<byte> received, out Xenstore.Header header, out byte[] payload)
    {
        header = default;
        payload = [];
        if (received.Length < Xenstore.HeaderSize) return false;

        Span<byte> bytes = stackalloc byte[Xenstore.HeaderSize];
        received.Slice(0, Xenstore.HeaderSize).CopyTo(bytes);
        header = MemoryMarshal.Read<Xenstore.Header>(bytes);
        if (header.Length > Xenstore.PayloadMax)
            throw new XenStoreConnectionException($"xenstore sent a message of {header.Length} bytes; the most is {Xenstore.PayloadMax}");
        if (received.Length - Xenstore.HeaderSize < header.Length) return false;

        if (header.Length != 0) payload = received.Slice(Xenstore.HeaderSize, header.Length).ToArray();
        received = received.Slice(Xenstore.HeaderSize + (long)header.Length);
        return true;
    }

    /// <summary>Strings that each end in a NUL.</summary>
    /// <returns>False: the last one does not.</returns>
    internal static bool TrySplit(ReadOnlySpan<byte> payload, out List<string> strings)
    {
        strings = [];
        while (!payload.IsEmpty)
        {
            int end = payload.IndexOf((byte)0);
            if (end < 0) return false;
            strings.Add(Encoding.UTF8.GetString(payload[..end]));
            payload = payload[(end + 1)..];
        }
        return true;
    }
}

using System.Runtime.InteropServices;
using System.Text;
using Fuzz.Engine;
using Fuzz.Oracles;
using XenMemoryProvider.Abi;

namespace Fuzz.Targets;

/// <summary>The other side of a connection to xenstore. The tame choice is a daemon that does its work.</summary>
internal sealed class HostileDaemon(ScriptedStream stream, FuzzInput input)
{
    private static readonly string[] Errors = ["ENOENT", "EINVAL", "EACCES", "EAGAIN", "E2BIG", "ENOSPC", "EBUSY", "EWHAT", ""];
    private bool _over;

    /// <summary>Something that is no answer was said since <see cref="Begin"/>; or null.</summary>
    public string? Impossible { get; private set; }

    /// <summary>Nothing but right answers were given since <see cref="Begin"/>, and the connection has not been spoilt before.</summary>
    public bool WasHonest { get; private set; }

    /// <summary>The value that was sent for a read, when that was right; else null.</summary>
    public byte[]? Payload { get; private set; }

    public void Begin()
    {
        Impossible = null;
        Payload = null;

        // A late answer of before may still end it: only the first calls can be foretold.
        WasHonest = !_over;
    }

    /// <summary>Answers until the client has what it waits for.</summary>
    public void Serve(Task task)
    {
        long end = Environment.TickCount64 + (long)Rig.Deadline.TotalMilliseconds;
        _ = task.ContinueWith(static (_, written) => ((SemaphoreSlim)written!).Release(), stream.Written, TaskContinuationOptions.ExecuteSynchronously);
        while (!task.IsCompleted)
        {
            FindingException.Require(Environment.TickCount64 < end, "the client waits for ever");
            stream.Written.Wait(1000);
            while (stream.Take() is { } message)
                Answer(message);
        }
    }

    private static byte[] Message(uint type, uint id, uint transaction, uint length, ReadOnlySpan<byte> payload)
    {
        byte[] message = new byte[Xenstore.HeaderSize + payload.Length];
        MemoryMarshal.Write(message, type);
        MemoryMarshal.Write(message.AsSpan(4), id);
        MemoryMarshal.Write(message.AsSpan(8), transaction);
        MemoryMarshal.Write(message.AsSpan(12), length);
        payload.CopyTo(message.AsSpan(Xenstore.HeaderSize));
        return message;
    }

    private void Answer(byte[] message)
    {
        Xenstore.Header asked = MemoryMarshal.Read<Xenstore.Header>(message);
        string[] strings = Encoding.UTF8.GetString(message.AsSpan(Xenstore.HeaderSize)).Split('\0');
        byte[] right = Right(asked.Type, strings);
        if (input.OneIn(12))
            Event(strings);

        int lie = input.Below(32);
        if (lie >= 14)
        {
            if (asked.Type == Xenstore.MessageType.Read)
                Payload = right;

            Give(Message((uint)asked.Type, asked.RequestId, asked.TransactionId, (uint)right.Length, right));
            return;
        }

        Payload = null;
        WasHonest = false;
        _over |= lie is not (0 or 1 or 2);
        string? before = Impossible;
        Lie(lie, asked, right);

        // What becomes of a watch that is taken back does not matter to who takes it back.
        if (asked.Type == Xenstore.MessageType.Unwatch)
            Impossible = before;
    }

    private void Lie(int lie, Xenstore.Header asked, byte[] right)
    {
        uint type = (uint)asked.Type;
        switch (lie)
        {
            case 0 or 1 or 2:
                Refuse(asked, Errors[input.Below(Errors.Length)] + "\0");
                break;
            case 3:
                Refuse(asked, Encoding.Latin1.GetString(input.Take(input.Below(16))));
                break;
            case 4:
                uint other = input.Number32(type);
                if (other != type && other != (uint)Xenstore.MessageType.WatchEvent)
                    Impossible = "an answer of another type";

                Give(Message(other, asked.RequestId, asked.TransactionId, (uint)right.Length, right));
                break;
            case 5:
                Give(Message(type, input.Number32(asked.RequestId), asked.TransactionId, (uint)right.Length, right));
                break;
            case 6:
                uint length = input.Number32((uint)right.Length);
                Give(Message(type, asked.RequestId, asked.TransactionId, length, right));
                break;
            case 7:
                byte[] changed = [.. right];
                if (changed.Length != 0)
                    changed[input.Below(changed.Length)] = input.Byte();

                Give(Message(type, asked.RequestId, asked.TransactionId, (uint)changed.Length, changed));
                break;
            case 8:
                byte[] any = input.Take(input.Below(80));
                Give(Message(type, asked.RequestId, asked.TransactionId, (uint)any.Length, any));
                break;
            case 9:
                Give(Message(type, asked.RequestId, asked.TransactionId, (uint)right.Length, right));
                Give(Message(type, asked.RequestId, asked.TransactionId, (uint)right.Length, right));
                break;
            case 10:
                Give(input.Take(1 + input.Below(40)));
                break;
            case 11:
                Impossible = "no answer";
                byte[] half = Message(type, asked.RequestId, asked.TransactionId, (uint)right.Length, right);
                Give(half[..input.Below(half.Length)]);
                stream.EndGiving();
                break;
            case 12 when input.OneIn(4):
                Impossible = "no answer";
                break;
            default:
                byte[] large = new byte[input.Pick(4096, 4095, 4097, 4080)];
                input.Fill(large.AsSpan(0, Math.Min(64, large.Length)));
                Give(Message(type, asked.RequestId, asked.TransactionId, (uint)large.Length, large));
                break;
        }
    }

    private void Refuse(Xenstore.Header asked, string error)
    {
        if (asked.Type is not (Xenstore.MessageType.Directory or Xenstore.MessageType.TransactionEnd or Xenstore.MessageType.Read))
            Impossible = "a refusal";

        byte[] payload = Encoding.Latin1.GetBytes(error);
        Give(Message((uint)Xenstore.MessageType.Error, asked.RequestId, asked.TransactionId, (uint)payload.Length, payload));
    }

    /// <summary>An event for a watch that there may be, or bytes.</summary>
    private void Event(string[] strings)
    {
        byte[] payload = input.Below(6) switch
        {
            0 => input.Take(input.Below(40)),
            1 => Encoding.UTF8.GetBytes("/w\0"),
            2 => Encoding.UTF8.GetBytes($"/w\0w{input.Below(4)}\0extra\0"),
            3 => Encoding.UTF8.GetBytes($"{strings[0]}\0{strings[^1]}\0"),
            _ => Encoding.UTF8.GetBytes($"/w/{input.Byte()}\0w{1 + input.Below(3)}\0"),
        };
        bool right = payload.Length != 0 && payload[^1] == 0 && payload.Count((byte)0) >= 2;
        if (!right)
        {
            _over = true;
            WasHonest = false;
        }

        for (int i = input.OneIn(4) ? 8 : 1; i > 0; i--)
            Give(Message((uint)Xenstore.MessageType.WatchEvent, input.OneIn(6) ? input.UInt32() : 0, 0, (uint)payload.Length, payload));
    }

    /// <summary>At once, or in pieces.</summary>
    private void Give(byte[] bytes)
    {
        if (!input.OneIn(8) || bytes.Length < 2)
        {
            stream.Give(bytes);
            return;
        }

        int cut = 1 + input.Below(bytes.Length - 1);
        stream.Give(bytes[..cut]);
        stream.Give(bytes[cut..]);
    }

    private byte[] Right(Xenstore.MessageType type, string[] strings) => type switch
    {
        Xenstore.MessageType.Read => input.Take(input.Below(20)),
        Xenstore.MessageType.Directory => "one\0two\0"u8.ToArray(),
        Xenstore.MessageType.DirectoryPart => Part(strings),
        Xenstore.MessageType.GetPerms => "n0\0r3\0"u8.ToArray(),
        Xenstore.MessageType.TransactionStart => "7\0"u8.ToArray(),
        Xenstore.MessageType.GetDomainPath => "/local/domain/3\0"u8.ToArray(),
        Xenstore.MessageType.IsDomainIntroduced => "T\0"u8.ToArray(),
        Xenstore.MessageType.Control => "printed\0"u8.ToArray(),
        _ => "OK\0"u8.ToArray(),
    };

    /// <summary>A list that takes a few parts, or never ends.</summary>
    private byte[] Part(string[] strings)
    {
        _ = int.TryParse(strings.ElementAtOrDefault(1), out int offset);
        string generation = input.OneIn(6) ? $"{input.Byte()}" : "5";
        return Encoding.ASCII.GetBytes(offset < 30 && !input.IsAtEnd ? $"{generation}\0name{offset}\0" : $"{generation}\0last\0\0");
    }
}

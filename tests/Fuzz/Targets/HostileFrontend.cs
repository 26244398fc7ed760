using System.Runtime.InteropServices;
using Fuzz.Engine;
using VhostUser.Protocol;
using VhostXen.Linux;
using static VhostXen.Linux.LibC;

namespace Fuzz.Targets;

/// <summary>One end of a socket: sends whatever it is told, and reads answers so that nobody waits for room.</summary>
internal sealed class HostileFrontend(FileDescriptor socket, Behaviour seen) : IDisposable
{
    private const int MostKept = 4;
    private readonly byte[] _buffer = new byte[16384];
    private readonly List<byte> _received = [];
    private readonly List<FileDescriptor> _arriving = [];
    private uint _lastReply;
    private int _repliesTo;

    // A session may wait for something that this front-end will never do; it is not waited for over and over.
    private int _patience = 100;

    public FileDescriptor Socket => socket;

    /// <summary>The other side hung up.</summary>
    public bool IsGone { get; private set; }

    /// <summary>Descriptors that came with answers.</summary>
    public List<FileDescriptor> Kept { get; } = [];

    /// <summary>The last status that came for a message, or null.</summary>
    public Dictionary<uint, ulong> Answers { get; } = [];

    public void Send(uint request, ReadOnlySpan<byte> payload, bool needReply, params ReadOnlySpan<FileDescriptor> fds)
        => SendRaw(Message(request, (uint)(MessageFlags.Version1 | (needReply ? MessageFlags.NeedReply : 0)), (uint)payload.Length, payload), fds);

    public static byte[] Message(uint request, uint flags, uint size, ReadOnlySpan<byte> payload)
    {
        byte[] message = new byte[MessageHeader.WireSize + payload.Length];
        MemoryMarshal.Write(message, request);
        MemoryMarshal.Write(message.AsSpan(4), flags);
        MemoryMarshal.Write(message.AsSpan(8), size);
        payload.CopyTo(message.AsSpan(MessageHeader.WireSize));
        return message;
    }

    public void SendRaw(ReadOnlySpan<byte> bytes, params ReadOnlySpan<FileDescriptor> fds)
    {
        Span<int> numbers = stackalloc int[fds.Length];
        for (int i = 0; i < fds.Length; i++)
            numbers[i] = fds[i].Value;

        for (int tries = 0; !bytes.IsEmpty && !IsGone; tries++)
        {
            nint sent = FdSocket.SendWithFds(socket, bytes, numbers, MSG_DONTWAIT);
            if (sent > 0)
            {
                bytes = bytes[(int)sent..];
                numbers = [];
            }
            else if (sent != -EAGAIN || (tries > 3 && _patience <= 0))
            {
                IsGone = true;
            }
            else
            {
                Receive();
                WaitFor(POLLOUT);
            }
        }
    }

    /// <summary>Has the session catch up: everything sent so far has been handled when this is answered.</summary>
    /// <returns>False when it is not, within a while: it hung up, or waits for something.</returns>
    public bool CatchUp(int patience = 0)
    {
        _patience += patience;
        Receive();
        _lastReply = 0;
        int expected = _repliesTo + 1;
        Send((uint)FrontendRequest.GetFeatures, [], false);
        while (!IsGone && _patience > 0)
        {
            WaitFor(POLLIN);
            Receive();
            if (_repliesTo == expected && _lastReply == (uint)FrontendRequest.GetFeatures)
                return true;
        }

        return false;
    }

    /// <summary>Takes what has arrived.</summary>
    public void Receive()
    {
        while (!IsGone)
        {
            nint count = FdSocket.ReceiveWithFds(socket, _buffer, _arriving, SCM_MAX_FD, MSG_DONTWAIT, out _);
            Keep();
            if (count == -EAGAIN)
                break;

            if (count <= 0)
                IsGone = true;
            else
                _received.AddRange(_buffer.AsSpan(0, (int)count));
        }

        Parse();
    }

    public void Dispose()
    {
        socket.Dispose();
        Kept.ForEach(static fd => fd.Dispose());
    }

    private void Keep()
    {
        foreach (FileDescriptor fd in _arriving)
        {
            if (Kept.Count < MostKept)
                Kept.Add(fd);
            else
                fd.Dispose();
        }

        _arriving.Clear();
    }

    private void WaitFor(short events)
    {
        Span<pollfd> poll = [new pollfd { fd = socket.Value, events = events }];
        long start = Environment.TickCount64;
        FileIO.Poll(poll, Math.Max(0, _patience));
        _patience -= (int)(Environment.TickCount64 - start);
    }

    private void Parse()
    {
        ReadOnlySpan<byte> rest = CollectionsMarshal.AsSpan(_received);
        while (rest.Length >= MessageHeader.WireSize)
        {
            MessageHeader header = MessageHeader.Parse(rest);
            FindingException.Require(header.IsReply && header.Size <= VhostUserSocket.MaxPayload, $"the session sent {header}");
            if (rest.Length - MessageHeader.WireSize < header.Size)
                break;

            Note(header, rest.Slice(MessageHeader.WireSize, (int)header.Size));
            rest = rest[(MessageHeader.WireSize + (int)header.Size)..];
        }

        _received.RemoveRange(0, _received.Count - rest.Length);
    }

    private void Note(MessageHeader header, ReadOnlySpan<byte> payload)
    {
        _lastReply = header.Request;
        if (header.Request == (uint)FrontendRequest.GetFeatures)
            _repliesTo++;

        if (payload.Length == 8)
            Answers[header.Request] = MemoryMarshal.Read<ulong>(payload);

        string what = payload.Length != 8 ? $"of {(payload.Length == 0 ? "no" : "some")} bytes" : MemoryMarshal.Read<ulong>(payload) == 0 ? "nought" : "a number";
        seen.Saw($"{RequestNames.NameOf((FrontendRequest)header.Request)} answered by {what}");
    }
}

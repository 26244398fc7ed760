using System.Runtime.InteropServices;
using Fuzz.Engine;
using Fuzz.Oracles;
using VhostUser.Protocol;
using VhostXen.Linux;
using static VhostXen.Linux.LibC;

namespace Fuzz.Targets;

/// <summary>The other end of a front-end session: takes its messages one by one and answers as the input says. The tame choice is right.</summary>
internal sealed partial class HostileBackend(FileDescriptor socket, FuzzInput input, Behaviour seen, SentFiles files) : IDisposable
{
    private readonly EventFd _done = EventFd.Create();
    private readonly byte[] _buffer = new byte[16384];
    private readonly List<byte> _received = [];
    private readonly List<FileDescriptor> _arrived = [];
    private FileDescriptor? _channel;
    private FileDescriptor? _state;
    private bool _endOfState;
    private string? _impossible;
    private bool _sentMore;

    /// <summary>
    /// A lie that was told since <see cref="Listen"/> and cannot be taken for an answer; or null. What came unasked may be the
    /// answer to a later question, if that is asked before it is read: then none is a lie any more.
    /// </summary>
    public string? Impossible
    {
        get => _sentMore ? null : _impossible;
        private set => _impossible = value;
    }

    public void Listen() => Impossible = null;

    /// <summary>Answers until the front-end has what it waits for.</summary>
    public unsafe void Serve(Task task)
    {
        long end = Environment.TickCount64 + (long)Rig.Deadline.TotalMilliseconds;
        _ = task.ContinueWith(static (_, done) => ((EventFd)done!).Signal(), _done, TaskContinuationOptions.ExecuteSynchronously);
        Span<pollfd> poll = stackalloc pollfd[2];
        while (!task.IsCompleted)
        {
            FindingException.Require(Environment.TickCount64 < end, "the front-end waits for ever");
            MoveState();
            poll[0] = new pollfd { fd = _done.Handle.Value, events = POLLIN };
            poll[1] = new pollfd { fd = socket.IsClosed ? -1 : socket.Value, events = POLLIN };
            FileIO.Poll(poll, _state is null ? 1000 : 1);
            if (poll[1].revents != 0)
                Receive();
        }

        // The signal of this task, not that of the next one.
        Span<pollfd> signalled = [new pollfd { fd = _done.Handle.Value, events = POLLIN }];
        FileIO.Poll(signalled, 1000);
        _done.Drain();
        CloseState();
    }

    public void Dispose()
    {
        CloseState();
        _arrived.ForEach(static fd => fd.Dispose());
        _channel?.Dispose();
        socket.Dispose();
        _done.Dispose();
    }

    private void Receive()
    {
        nint count = FdSocket.ReceiveWithFds(socket, _buffer, _arrived, SCM_MAX_FD, MSG_DONTWAIT, out _);
        if (count == -EAGAIN)
            return;

        if (count <= 0)
        {
            socket.Dispose();
            return;
        }

        _received.AddRange(_buffer.AsSpan(0, (int)count));
        while (!socket.IsClosed && _received.Count >= MessageHeader.WireSize)
        {
            MessageHeader header = MessageHeader.Parse(CollectionsMarshal.AsSpan(_received));
            int length = MessageHeader.WireSize + (int)header.Size;
            if (_received.Count < length)
                break;

            byte[] payload = [.. _received[MessageHeader.WireSize..length]];
            _received.RemoveRange(0, length);
            TakeFiles((FrontendRequest)header.Request);
            Answer(header, payload);
        }
    }

    /// <summary>Two of the descriptors that come are worth keeping.</summary>
    private void TakeFiles(FrontendRequest request)
    {
        foreach (FileDescriptor fd in _arrived)
        {
            if (request == FrontendRequest.SetBackendReqFd)
            {
                _channel?.Dispose();
                _channel = fd;
            }
            else if (request == FrontendRequest.SetDeviceStateFd)
            {
                CloseState();
                _state = fd;
                _state.SetNonBlocking(true);
                _endOfState = false;
            }
            else
            {
                fd.Dispose();
            }
        }

        _arrived.Clear();
    }

    /// <summary>Reads or writes device state, and comes to an end of it or does not.</summary>
    private unsafe void MoveState()
    {
        if (_state is null)
            return;

        fixed (byte* at = _buffer)
        {
            if (_endOfState)
            {
                CloseState();
                return;
            }

            // One of them is right; the other fails.
            nint read = FileIO.Read(_state.Value, at, (nuint)_buffer.Length);
            if (read == -EBADF)
            {
                FileIO.Write(_state.Value, at, input.Pick<nuint>(100, 0, 4096, 60000));
                _endOfState = !input.OneIn(12);
            }
            else if (read == 0)
            {
                CloseState();
            }
            else if (input.OneIn(24))
            {
                CloseState();
            }
        }
    }

    private void CloseState()
    {
        _state?.Dispose();
        _state = null;
    }

    private void Send(ReadOnlySpan<byte> bytes, params ReadOnlySpan<FileDescriptor> fds)
    {
        Span<int> numbers = stackalloc int[fds.Length];
        for (int i = 0; i < fds.Length; i++)
            numbers[i] = fds[i].Value;

        if (!socket.IsClosed && !bytes.IsEmpty)
            FdSocket.SendWithFds(socket, bytes, numbers, MSG_DONTWAIT);
    }
}

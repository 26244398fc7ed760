using VhostUser.Devices;
using VhostUser.Memory;
using VhostXen.Linux;
using static VhostXen.Linux.LibC;

namespace Backends.Block.Stores;

/// <summary>
/// One request on its way through a file: a row of system calls, each by io_uring or on a blocking thread, until all
/// bytes are done or one fails. Pooled by its channel.
/// </summary>
internal sealed unsafe partial class FileOperation(FileChannel channel, FileStore store) : IRingCompletion
{
    private readonly IovecList _rest = new();
    private StoreRequest _request = null!;
    private ulong _done;
    private FileStep _step;
    private bool _buffersAligned;
    private int _fd;
    private iovec* _iov;
    private int _iovCount;
    private bool _throughBounce;
    private bool _avoidDirect;

    /// <summary>0 or a positive errno, once it ended.</summary>
    public int Error { get; private set; }

    public StoreRequest Request => _request;

    /// <summary>The next in a list of the channel's.</summary>
    public FileOperation? Next { get; set; }

    /// <summary>The bounce buffer, while it has one.</summary>
    public MappedMemory? Bounce { get; set; }

    /// <summary>It cannot go on without a bounce buffer.</summary>
    public bool NeedsBounce { get; private set; }

    public FileChannel Channel => channel;

    /// <summary>What names the call in the worker's io_uring while it is there.</summary>
    public ulong? RingData { get; private set; }

    /// <summary>False for what has to go on when the queue stops: see <see cref="IStoreChannel.CallOff"/>.</summary>
    public bool MayCallOff => _step != FileStep.Sync;

    /// <summary>False for the calls that io_uring does not know.</summary>
    public bool FitsRing => _step is not (FileStep.DiscardDevice or FileStep.ZeroOutDevice);

    /// <summary>Begins, or goes on where a call that did not block left off.</summary>
    /// <param name="request">What to do.</param>
    /// <param name="done">Bytes already transferred.</param>
    public void Reset(StoreRequest request, ulong done)
    {
        _request = request;
        _done = done;
        Error = 0;
        _avoidDirect = false;
        _step = request.Operation switch
        {
            StoreOperation.Read => FileStep.Read,
            StoreOperation.Write => FileStep.Write,
            StoreOperation.Flush => FileStep.Sync,
            StoreOperation.Discard => store.IsBlockDevice ? FileStep.DiscardDevice : FileStep.PunchHole,
            _ => FirstZeroStep(request.MayUnmap),
        };
        _buffersAligned = store.IsDirect && request.CanPin && BuffersFit(request.Buffers.Span);
        NeedsBounce = store.IsDirect && _step is FileStep.Read or FileStep.Write && !_buffersAligned && FitsDirect();
    }

    /// <summary>Sets up the next call. Where a bounce buffer is needed, there is one.</summary>
    public void Prepare()
    {
        _fd = store.BufferedFd;
        if (_step is not (FileStep.Read or FileStep.Write or FileStep.WriteZeros))
            return;

        _throughBounce = false;
        if (_step == FileStep.WriteZeros)
        {
            PrepareZeros();
        }
        else if (store.IsDirect && !_avoidDirect && FitsDirect() && (_buffersAligned || NeedsBounce))
        {
            _fd = store.DirectFd;
            if (_buffersAligned)
                PrepareBuffers();
            else
                PrepareBounce();
        }
        else
        {
            PrepareBuffers();
        }
    }

    /// <summary>Describes the next call to io_uring.</summary>
    public void Fill(io_uring_sqe* sqe, ulong userData)
    {
        ulong offset = _request.Offset + _done;
        RingData = userData;
        switch (_step)
        {
            case FileStep.Read when _iovCount == 1:
                IoUringSqe.Read(sqe, _fd, _iov->iov_base, (uint)Math.Min(_iov->iov_len, MaxTransfer), offset, userData);
                break;
            case FileStep.Read:
                IoUringSqe.ReadV(sqe, _fd, _iov, (uint)_iovCount, offset, userData);
                break;
            case FileStep.Write or FileStep.WriteZeros when _iovCount == 1:
                IoUringSqe.Write(sqe, _fd, _iov->iov_base, (uint)Math.Min(_iov->iov_len, MaxTransfer), offset, userData, WriteFlags);
                break;
            case FileStep.Write or FileStep.WriteZeros:
                IoUringSqe.WriteV(sqe, _fd, _iov, (uint)_iovCount, offset, userData, WriteFlags);
                break;
            case FileStep.Sync:
                IoUringSqe.Fsync(sqe, _fd, dataOnly: true, userData);
                break;
            case FileStep.PunchHole or FileStep.ZeroRange:
                IoUringSqe.Fallocate(sqe, _fd, FallocateMode, _request.Offset, _request.Length, userData);
                break;
        }
    }

    /// <summary>io_uring is through with the call.</summary>
    public void OnCompletion(int result)
    {
        // What would have blocked or was interrupted: a thread that may block does it.
        RingData = null;
        bool untouched = result is -EAGAIN or -EINTR or -ECANCELED;
        if (!untouched && Advance(result))
            channel.Finish(this);
        else if (channel.CallingOff && MayCallOff)
            CallOff();
        else if (untouched)
            channel.IssueOnThread(this);
        else
            channel.Issue(this);
    }

    /// <summary>Nobody works on it: it ends here.</summary>
    public void CallOff()
    {
        Error = ECANCELED;
        channel.Finish(this);
    }

    /// <summary>Makes all the calls that are left, on a thread that may block.</summary>
    public void RunBlocking()
    {
        while (!Advance(Call()))
        {
        }

        channel.EndedElsewhere(this);
    }

    private int Call()
    {
        long offset = (long)(_request.Offset + _done);
        switch (_step)
        {
            case FileStep.Read:
                return (int)FileIO.ReadV(_fd, _iov, _iovCount, offset);
            case FileStep.Write or FileStep.WriteZeros:
                return (int)FileIO.WriteV(_fd, _iov, _iovCount, offset, WriteFlags);
            case FileStep.Sync:
                return FileIO.Fdatasync(_fd);
            case FileStep.PunchHole or FileStep.ZeroRange:
                return FileIO.Fallocate(_fd, FallocateMode, (long)_request.Offset, (long)_request.Length);
            default:
                ulong* range = stackalloc ulong[] { _request.Offset, _request.Length };
                return FileIO.Ioctl(_fd, _step == FileStep.DiscardDevice ? BLKDISCARD : BLKZEROOUT, range);
        }
    }

    /// <summary>Takes a call's result in.</summary>
    /// <returns>True when the operation ended; otherwise the next call is set up.</returns>
    private bool Advance(int result)
    {
        bool ended = _step switch
        {
            FileStep.Read or FileStep.Write or FileStep.WriteZeros => Transferred(result),
            FileStep.Sync => End(-result),
            _ => Ranged(-result),
        };
        if (!ended)
            Prepare();

        return ended;
    }

    private bool Transferred(int result)
    {
        if (result < 0)
        {
            // O_DIRECT does not take this memory or this place in the file after all: the page cache does.
            if (result is not (-EINVAL or -EFAULT) || !store.IsDirect || _avoidDirect)
                return End(-result);

            _avoidDirect = true;
            return false;
        }

        // Nothing read: the file ends before the disk does, somebody cut it. Nothing written: never, says POSIX.
        if (result == 0)
            return End(EIO);

        if (_throughBounce && _step == FileStep.Read)
            CopyOut(result);

        _done += (ulong)result;
        if (_done < _request.Length)
            return false;

        return _step == FileStep.WriteZeros ? Zeroed() : End(0);
    }

    /// <summary>A call on the whole range: what the host cannot do is tried in another way, the last one always goes.</summary>
    private bool Ranged(int error)
    {
        if (error == 0)
            return _request.Operation == StoreOperation.Discard ? End(0) : Zeroed();

        if (error is EOPNOTSUPP or ENOSYS)
        {
            store.NoPunch |= _step == FileStep.PunchHole;
            store.NoZeroRange |= _step == FileStep.ZeroRange;
        }
        else if (error is not (EINVAL or ENODEV or ENOTTY))
        {
            return End(error);
        }

        if (_request.Operation == StoreOperation.Discard)
            return End(EOPNOTSUPP);

        _step = _step switch
        {
            FileStep.PunchHole when !store.NoZeroRange => FileStep.ZeroRange,
            FileStep.PunchHole or FileStep.ZeroRange when store.IsBlockDevice => FileStep.ZeroOutDevice,
            _ => FileStep.WriteZeros,
        };
        return false;
    }

    private bool Zeroed()
    {
        if (!_request.Durable)
            return End(0);

        _step = FileStep.Sync;
        return false;
    }

    private bool End(int error)
    {
        Error = error;
        return true;
    }
}

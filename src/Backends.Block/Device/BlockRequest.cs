using Backends.Block.Stores;
using VhostUser.Devices;
using static VhostXen.Linux.LibC;

namespace Backends.Block.Device;

/// <summary>
/// One block request (virtio 1.3, 5.2.6): 16 bytes of header, data either way, one byte of status. How these are
/// spread over descriptors is the driver's business (ANY_LAYOUT): only byte positions count. Kept with the pooled
/// virtqueue request, so that the next one in the same slot allocates nothing.
/// </summary>
internal sealed class BlockRequest(BlockQueue queue, VirtqueueRequest request) : StoreRequest
{
    private BlockRange[]? _ranges;
    private int _rangeCount;
    private int _nextRange;

    /// <summary>Checks the request and starts it, or fails it at once.</summary>
    public void Start()
    {
        // Nowhere to put a status: all that can be done is to give the chain back.
        if (request.WritableLength == 0)
        {
            queue.Counters.CountFailure();
            request.Complete(0);
            return;
        }

        Span<byte> bytes = stackalloc byte[BlockHeader.Size];
        if (request.Faulted || request.CopyFrom(0, bytes) != BlockHeader.Size)
        {
            Finish(BlockStatus.IoError);
            return;
        }

        BlockHeader header = BlockHeader.Read(bytes);
        CanPin = request.CanPin;
        Durable = queue.Device.Writethrough;
        _rangeCount = 0;
        switch (header.Type)
        {
            case BlockRequestType.In:
                StartTransfer(StoreOperation.Read, header.Sector, request.WritableLength - 1);
                break;
            case BlockRequestType.Out:
                if (queue.Device.ReadOnly)
                    Finish(BlockStatus.IoError);
                else
                    StartTransfer(StoreOperation.Write, header.Sector, request.ReadableLength - BlockHeader.Size);

                break;
            case BlockRequestType.Flush:
                queue.Counters.CountFlush();
                Submit(StoreOperation.Flush, 0, 0);
                break;
            case BlockRequestType.GetId:
                GetId();
                break;
            case BlockRequestType.Discard or BlockRequestType.WriteZeroes:
                StartRanges(header.Type);
                break;
            default:
                Finish(BlockStatus.Unsupported);
                break;
        }
    }

    public override void OnCompleted(int error)
    {
        // Called off, or between two of its ranges: a successor does it again from the start.
        if (queue.Suspending && (error == ECANCELED || (error == 0 && _nextRange < _rangeCount)))
        {
            request.Suspend();
            return;
        }

        if (error == 0 && _nextRange < _rangeCount)
        {
            SubmitNextRange();
            return;
        }

        if (error is not (0 or EOPNOTSUPP))
            queue.LogHostFailure(Operation, Offset, Length, error);

        Finish(error switch
        {
            0 => BlockStatus.Ok,
            EOPNOTSUPP => BlockStatus.Unsupported,
            _ => BlockStatus.IoError,
        });
    }

    private void StartTransfer(StoreOperation operation, ulong sector, ulong length)
    {
        BlockStatus status = BlockRules.CheckTransfer(sector, length, queue.Device.Sectors);
        if (status != BlockStatus.Ok)
        {
            Finish(status);
            return;
        }

        Buffers.Clear();
        if (operation == StoreOperation.Read)
        {
            Buffers.AddSlice(request.Writable, 0, length);
            queue.Counters.CountRead(length);
        }
        else
        {
            Buffers.AddSlice(request.Readable, BlockHeader.Size, length);
            queue.Counters.CountWrite(length);
        }

        Submit(operation, sector * BlockRules.SectorSize, length);
    }

    /// <summary>Copies all segments out of the guest's memory once, checks them all, then does one after the other.</summary>
    private void StartRanges(BlockRequestType type)
    {
        ulong length = request.ReadableLength - BlockHeader.Size;
        BlockDevice device = queue.Device;
        BlockStatus status = BlockRules.CheckRangesLength(length);
        if (device.ReadOnly)
            status = BlockStatus.IoError;
        else if (type == BlockRequestType.Discard && !device.Store.Properties.CanDiscard)
            status = BlockStatus.Unsupported;

        if (status == BlockStatus.Ok)
            status = CopyRanges(type, (int)length, device.Sectors);

        if (status != BlockStatus.Ok)
        {
            _rangeCount = 0;
            Finish(status);
            return;
        }

        queue.Counters.CountDiscard();
        Operation = type == BlockRequestType.Discard ? StoreOperation.Discard : StoreOperation.WriteZeroes;
        SubmitNextRange();
    }

    private BlockStatus CopyRanges(BlockRequestType type, int length, ulong capacity)
    {
        Span<byte> bytes = stackalloc byte[BlockRules.MaxRanges * BlockRange.Size];
        bytes = bytes[..length];
        if (request.CopyFrom(BlockHeader.Size, bytes) != length)
            return BlockStatus.IoError;

        _ranges ??= new BlockRange[BlockRules.MaxRanges];
        _rangeCount = length / BlockRange.Size;
        _nextRange = 0;
        for (int i = 0; i < _rangeCount; i++)
        {
            _ranges[i] = BlockRange.Read(bytes[(i * BlockRange.Size)..]);
            BlockStatus status = BlockRules.CheckRange(type, _ranges[i], capacity);
            if (status != BlockStatus.Ok)
                return status;
        }

        return BlockStatus.Ok;
    }

    private void SubmitNextRange()
    {
        BlockRange range = _ranges![_nextRange++];
        MayUnmap = range.Unmap;
        Submit(Operation, range.Sector * BlockRules.SectorSize, range.Sectors * BlockRules.SectorSize);
    }

    private void Submit(StoreOperation operation, ulong offset, ulong length)
    {
        Operation = operation;
        Offset = offset;
        Length = length;
        queue.Channel.Submit(this);
    }

    private void GetId()
    {
        ulong room = request.WritableLength - 1;
        ReadOnlySpan<byte> serial = queue.Device.Serial;
        int length = (int)Math.Min(room, (ulong)serial.Length);
        request.CopyTo(0, serial[..length]);
        WriteStatus(BlockStatus.Ok);

        // What is counted as written starts at the front and has no gap: the status counts when it follows at once.
        request.Complete((uint)((ulong)length == room ? length + 1 : length));
    }

    /// <summary>Writes the status and gives the request back.</summary>
    private void Finish(BlockStatus status)
    {
        WriteStatus(status);
        uint written = request.WritableLength == 1 ? 1u : 0;
        if (status != BlockStatus.Ok)
            queue.Counters.CountFailure();
        else if (Operation == StoreOperation.Read)
            written = (uint)(Length + 1);

        request.Complete(written);
    }

    private void WriteStatus(BlockStatus status) => request.CopyTo(request.WritableLength - 1, [(byte)status]);
}

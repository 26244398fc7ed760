using VhostUser.Memory;
using VhostXen.Linux;
using static VhostXen.Linux.LibC;

namespace Backends.Block.Stores;

/// <content>Which memory the next call works on.</content>
internal sealed unsafe partial class FileOperation
{
    // What Linux moves in one call at most: INT_MAX rounded down to a page.
    private const ulong MaxTransfer = 0x7ffff000;
    private const int ZeroPieces = 16;

    // 64 KiB of zeroes that nobody writes, named many times over in one call. For the process's life.
    private static readonly MappedMemory Zeros = MappedMemory.Anonymous(64 * 1024, PROT_READ);

    private int WriteFlags => _request.Durable && _step == FileStep.Write ? RWF_DSYNC : 0;

    private int FallocateMode => FALLOC_FL_KEEP_SIZE | (_step == FileStep.PunchHole ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE);

    private FileStep FirstZeroStep(bool mayUnmap)
    {
        if (mayUnmap && !store.NoPunch)
            return FileStep.PunchHole;

        if (!store.NoZeroRange)
            return FileStep.ZeroRange;

        return store.IsBlockDevice ? FileStep.ZeroOutDevice : FileStep.WriteZeros;
    }

    /// <summary>
    /// Whether what is left lies on O_DIRECT's grid. What does not (a 512-byte request on a 4 KiB disk) goes
    /// through the page cache, which the kernel keeps coherent with direct transfers.
    /// </summary>
    private bool FitsDirect()
        => (((_request.Offset + _done) | (_request.Length - _done)) & (store.DirectAlignment.Offset - 1)) == 0;

    private bool BuffersFit(ReadOnlySpan<iovec> buffers)
    {
        DirectAlignment alignment = store.DirectAlignment;
        foreach (ref readonly iovec buffer in buffers)
        {
            if (((nuint)buffer.iov_base & (alignment.Memory - 1)) != 0 || (buffer.iov_len & (alignment.Offset - 1)) != 0)
                return false;
        }

        return true;
    }

    private void PrepareBuffers()
    {
        IovecList buffers = _request.Buffers;
        if (_done != 0)
        {
            _rest.Clear();
            _rest.AddSlice(buffers.Span, _done, _request.Length - _done);
            buffers = _rest;
        }

        _iov = buffers.Pointer;
        _iovCount = Math.Min(buffers.Count, IOV_MAX);
    }

    private void PrepareBounce()
    {
        _throughBounce = true;
        ulong piece = Math.Min(_request.Length - _done, BounceBuffers.Size);
        if (_step == FileStep.Write)
            Copy(piece, toBounce: true);

        _rest.Clear();
        _rest.Add(Bounce!.Pointer, (nuint)piece);
        _iov = _rest.Pointer;
        _iovCount = 1;
    }

    private void PrepareZeros()
    {
        ulong left = _request.Length - _done;
        _rest.Clear();
        for (int i = 0; i < ZeroPieces && left > 0; i++)
        {
            ulong piece = Math.Min(left, Zeros.Length);
            _rest.Add(Zeros.Pointer, (nuint)piece);
            left -= piece;
        }

        _iov = _rest.Pointer;
        _iovCount = _rest.Count;
    }

    private void CopyOut(int length) => Copy((ulong)length, toBounce: false);

    /// <summary>Copies between the bounce buffer and the request's buffers, from where it has got to.</summary>
    private void Copy(ulong length, bool toBounce)
    {
        byte* bounce = Bounce!.Pointer;
        ulong skip = _done;
        foreach (ref readonly iovec buffer in _request.Buffers.Span)
        {
            if (length == 0)
                break;

            if (skip >= buffer.iov_len)
            {
                skip -= buffer.iov_len;
                continue;
            }

            // SAFETY: the buffers are resolved guest memory of Length bytes in all; length is at most the bounce buffer's.
            ulong part = Math.Min(buffer.iov_len - skip, length);
            byte* guest = (byte*)buffer.iov_base + skip;
            Buffer.MemoryCopy(toBounce ? guest : bounce, toBounce ? bounce : guest, part, part);
            bounce += part;
            length -= part;
            skip = 0;
        }
    }
}

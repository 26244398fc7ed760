using System.Runtime.InteropServices;
using VhostXen.Linux;
using static VhostXen.Linux.LibC;

namespace XenMemoryProvider.Kernel.Sockets;

/// <summary>
/// The client's end of one open device: one request at a time, and the memory objects the server has shown it. Any thread; the
/// caller of a request that reads its reply holds <see cref="Gate"/> until it has.
/// </summary>
internal sealed unsafe class WireConnection(FileDescriptor socket) : IDisposable
{
    private const int CloseTimeoutMs = 2000;

    private readonly WireChannel _channel = new(socket);
    private readonly Dictionary<uint, FileDescriptor> _objects = [];
    private byte[] _reply = new byte[4096];
    private bool _over;

    /// <summary>Held from a request until its reply is used up: the next request overwrites it.</summary>
    public Lock Gate { get; } = new();

    public FileDescriptor Socket => socket;

    /// <summary>Descriptors that came with the last reply and nobody took.</summary>
    public List<FileDescriptor> Descriptors => _channel.Descriptors;

    /// <param name="reply">Valid until the next request.</param>
    /// <returns>The server's result, or -EIO: the connection is over.</returns>
    public int Request(WireOp op, scoped ReadOnlySpan<byte> body, out ReadOnlySpan<byte> reply)
    {
        lock (Gate)
        {
            reply = default;
            if (_over) return -EIO;
            if (body.Length > Wire.MaxBody) return -E2BIG;
            if (!_channel.Send((int)op, body) || !_channel.ReceiveHeader(out Wire.Header header, Wire.MaxFds)) return End();
            if (_reply.Length < (int)header.Length) _reply = new byte[header.Length];
            Span<byte> received = _reply.AsSpan(0, (int)header.Length);
            if (!_channel.ReceiveBody(received)) return End();
            reply = received;
            return header.OpOrResult;
        }
    }

    /// <summary>A request whose reply is a result and nothing else.</summary>
    public int Request<T>(WireOp op, in T body)
        where T : unmanaged => Request(op, MemoryMarshal.AsBytes(new ReadOnlySpan<T>(in body)), out _);

    /// <summary>Puts the pages of a mapping reply into a range of this process. With the gate held.</summary>
    /// <param name="range">Address of the request's first page; null: a new range for exactly these pages, which the caller owns.</param>
    /// <param name="errors">Gets the errors of single pages; empty where there can be none.</param>
    /// <param name="rest">What follows the mapping in the reply.</param>
    /// <returns>0, or a negative errno: the range is then as it was, and the token is given back.</returns>
    public int Map(ReadOnlySpan<byte> reply, int pages, int prot, scoped ref byte* range, Span<int> errors, out ulong token, out ReadOnlySpan<byte> rest)
    {
        rest = default;
        token = 0;
        if (!TryParse(reply, out Wire.Mapping mapping, out ReadOnlySpan<Wire.MapRun> runs, out ReadOnlySpan<Wire.ErrorRun> failed, out rest)) return End();
        token = mapping.Token;
        foreach (Wire.ErrorRun run in failed)
        {
            if (!Within(run.Page, run.Count, pages) || errors.IsEmpty) return End();
            errors.Slice((int)run.Page, (int)run.Count).Fill(run.Error);
        }

        bool fresh = range is null;
        int result = fresh && runs.Length == 1 && runs[0].Page == 0 && runs[0].Count == (uint)pages
            ? MapWhole(runs[0], prot, out range)
            : MapRuns(runs, pages, prot, ref range);
        if (result == 0) return 0;
        if (fresh) Unmap(token);
        return result;
    }

    /// <summary>The pages of a mapping are unmapped: tells the server.</summary>
    public int Unmap(ulong token) => Request(WireOp.Unmap, token);

    public void Dispose()
    {
        if (socket.IsClosed) return;

        // As close(2) does, this returns when what was held is given back: the server closes its end after that. A thread that
        // still waits for a reply gets it first.
        _channel.Shutdown(SHUT_WR);
        lock (Gate)
        {
            _over = true;
            _channel.WaitForEnd(CloseTimeoutMs);
            foreach (FileDescriptor memory in _objects.Values) memory.Dispose();
            _objects.Clear();
            _channel.Dispose();
        }
    }

    private bool TryParse(
        ReadOnlySpan<byte> reply, out Wire.Mapping mapping, out ReadOnlySpan<Wire.MapRun> runs, out ReadOnlySpan<Wire.ErrorRun> errors, out ReadOnlySpan<byte> rest)
    {
        runs = default;
        errors = default;
        rest = reply;
        if (!TryTake(ref rest, 1, out ReadOnlySpan<Wire.Mapping> head))
        {
            mapping = default;
            return false;
        }

        mapping = head[0];
        if (mapping.NewObjects != (uint)Descriptors.Count) return false;
        if (!TryTake(ref rest, mapping.NewObjects + (mapping.NewObjects & 1), out ReadOnlySpan<uint> ids)) return false;
        for (int i = 0; i < (int)mapping.NewObjects; i++)
        {
            if (!_objects.TryAdd(ids[i], Descriptors[i])) return false;
        }

        Descriptors.Clear();
        return TryTake(ref rest, mapping.Runs, out runs) && TryTake(ref rest, mapping.ErrorRuns, out errors);
    }

    private static bool TryTake<T>(scoped ref ReadOnlySpan<byte> from, uint count, out ReadOnlySpan<T> taken)
        where T : unmanaged
    {
        ulong bytes = (ulong)count * (ulong)sizeof(T);
        taken = default;
        if (bytes > (ulong)from.Length) return false;
        taken = MemoryMarshal.Cast<byte, T>(from[..(int)bytes]);
        from = from[(int)bytes..];
        return true;
    }

    private static bool Within(uint page, uint count, int pages) => page <= (uint)pages && count <= (uint)pages - page;

    private int MapWhole(Wire.MapRun run, int prot, out byte* range)
    {
        range = null;
        if (!_objects.TryGetValue(run.Object, out FileDescriptor? memory)) return End();
        void* mapped = mmap(null, (nuint)run.Count * XenPage.Size, prot, MAP_SHARED, memory.Value, (long)run.Offset);
        if ((nint)mapped == MAP_FAILED) return -errno;
        range = (byte*)mapped;
        return 0;
    }

    private int MapRuns(ReadOnlySpan<Wire.MapRun> runs, int pages, int prot, scoped ref byte* range)
    {
        nuint length = (nuint)pages * XenPage.Size;
        byte* at = range;
        if (at is null)
        {
            void* reserved = mmap(null, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
            if ((nint)reserved == MAP_FAILED) return -errno;
            at = (byte*)reserved;
        }

        foreach (Wire.MapRun run in runs)
        {
            int result = Within(run.Page, run.Count, pages) && _objects.TryGetValue(run.Object, out FileDescriptor? memory)
                ? MapOver(at + (nuint)run.Page * XenPage.Size, run, memory, prot)
                : End();
            if (result == 0) continue;
            if (range is null) _ = munmap(at, length);
            return result;
        }

        range = at;
        return 0;
    }

    private static int MapOver(byte* place, Wire.MapRun run, FileDescriptor memory, int prot)
    {
        // SAFETY: the place lies within the range reserved for this request's pages, as just checked.
        void* mapped = mmap(place, (nuint)run.Count * XenPage.Size, prot, MAP_SHARED | MAP_FIXED, memory.Value, (long)run.Offset);
        return (nint)mapped == MAP_FAILED ? -errno : 0;
    }

    // The server is gone or talks nonsense: everything fails from now on.
    private int End()
    {
        _over = true;
        return -EIO;
    }
}

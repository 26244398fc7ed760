using System.Runtime.InteropServices;
using VhostXen.Linux;
using XenMemoryProvider.Kernel.Sockets;
using XenModel.Drivers;

namespace XenModel.Server;

/// <summary>One connection after its Open: requests of one device, answered in order by the connection's thread.</summary>
internal abstract class WireSession(WireChannel channel, SharedObjects objects) : IDisposable
{
    private readonly HashSet<uint> _shown = [];
    private readonly Dictionary<ulong, Held> _held = [];
    private readonly List<byte> _body = [];
    private readonly List<int> _descriptors = [];
    private ulong _lastToken;

    protected WireChannel Channel => channel;

    /// <summary>Serves until the client goes, or says something malformed.</summary>
    public void Run()
    {
        byte[] body = new byte[4096];
        while (channel.ReceiveHeader(out Wire.Header header, 0))
        {
            if (body.Length < (int)header.Length) body = new byte[header.Length];
            Span<byte> received = body.AsSpan(0, (int)header.Length);
            if (!channel.ReceiveBody(received) || !Handle((WireOp)header.OpOrResult, received)) return;
        }
    }

    public virtual void Dispose()
    {
        foreach (Held held in _held.Values) held.Release();
        _held.Clear();
    }

    /// <returns>False: malformed, or the client is gone.</returns>
    protected abstract bool Handle(WireOp op, Span<byte> body);

    protected bool Reply(int result, ReadOnlySpan<byte> body = default) => channel.Send(result, body);

    protected bool Reply<T>(int result, in T body)
        where T : unmanaged => channel.Send(result, MemoryMarshal.AsBytes(new ReadOnlySpan<T>(in body)));

    /// <summary>Names pages for the client until it unmaps them.</summary>
    protected ulong Hold(MappedPages pages, int missing = 0)
    {
        _held.Add(++_lastToken, new Held(pages, missing));
        return _lastToken;
    }

    protected Held? Find(ulong token) => _held.GetValueOrDefault(token);

    protected bool Unmap(Span<byte> body)
    {
        var reader = new BodyReader(body);
        ulong token = reader.Take<ulong>();
        if (!reader.Complete) return false;
        if (!_held.Remove(token, out Held? held)) return Reply(-LibC.ENOENT);
        held.Release();
        return Reply(0);
    }

    /// <summary>Answers with a mapping: objects the client has not seen, runs of pages, runs of errors.</summary>
    /// <param name="errors">Of single pages; empty when all are there.</param>
    protected bool ReplyMapping(ulong token, MappedPages pages, ReadOnlySpan<int> errors, ReadOnlySpan<byte> rest)
    {
        MappedPages.Run[] runs = [.. pages.Runs(0, pages.Count)];
        _descriptors.Clear();
        var ids = new List<uint>();
        foreach (MappedPages.Run run in runs)
        {
            uint id = objects.NumberOf(run.Frame.Pool);
            if (!_shown.Add(id)) continue;
            ids.Add(id);
            _descriptors.Add(run.Frame.Pool.File.Value);
        }

        if (_descriptors.Count > Wire.MaxFds)
        {
            // Grants of more domains at once than one message has room for.
            foreach (uint id in ids) _shown.Remove(id);
            if (_held.Remove(token, out Held? refused)) refused.Release();
            return Reply(-LibC.E2BIG);
        }

        List<Wire.ErrorRun> failed = ErrorRuns(errors);
        _body.Clear();
        Append(new Wire.Mapping { Token = token, NewObjects = (uint)ids.Count, Runs = (uint)runs.Length, ErrorRuns = (uint)failed.Count });
        foreach (uint id in ids) Append(id);
        if (ids.Count % 2 != 0) Append(0u);
        foreach (MappedPages.Run run in runs)
        {
            Append(new Wire.MapRun
            {
                Page = (uint)run.Page,
                Count = (uint)run.Count,
                Object = objects.NumberOf(run.Frame.Pool),
                Offset = (ulong)run.Frame.Frame * Memory.FramePool.PageSize,
            });
        }

        foreach (Wire.ErrorRun run in failed) Append(run);
        _body.AddRange(rest);
        return channel.Send(0, CollectionsMarshal.AsSpan(_body), CollectionsMarshal.AsSpan(_descriptors));
    }

    private static List<Wire.ErrorRun> ErrorRuns(ReadOnlySpan<int> errors)
    {
        var runs = new List<Wire.ErrorRun>();
        for (int i = 0; i < errors.Length;)
        {
            int length = 1;
            while (i + length < errors.Length && errors[i + length] == errors[i]) length++;
            if (errors[i] != 0) runs.Add(new Wire.ErrorRun { Page = (uint)i, Count = (uint)length, Error = errors[i] });
            i += length;
        }

        return runs;
    }

    private void Append<T>(in T value)
        where T : unmanaged => _body.AddRange(MemoryMarshal.AsBytes(new ReadOnlySpan<T>(in value)));

    /// <summary>What one token stands for: its first pages, and those that came later.</summary>
    protected sealed class Held(MappedPages first, int missing)
    {
        private readonly List<MappedPages> _all = [first];

        public MappedPages First => first;

        /// <summary>Pages that were asked for and are not there.</summary>
        public int Missing { get; private set; } = missing;

        public void Add(MappedPages pages, int found)
        {
            _all.Add(pages);
            Missing -= found;
        }

        public void Release()
        {
            foreach (MappedPages pages in _all) pages.Release();
        }
    }
}

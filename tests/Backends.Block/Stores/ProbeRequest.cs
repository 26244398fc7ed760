using System.Runtime.InteropServices;
using Backends.Block.Stores;

namespace Backends.Block.Tests.Stores;

/// <summary>An operation with memory of its own, cut into pieces and misaligned as a test wants it.</summary>
internal sealed unsafe class ProbeRequest : StoreRequest, IDisposable
{
    private readonly void* _memory;
    private readonly byte* _start;
    private readonly int _length;
    private readonly TaskCompletionSource<int> _completed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public ProbeRequest(int length, int pieces, int misalign)
    {
        _length = length;
        _memory = NativeMemory.AlignedAlloc((nuint)(length + 8192), 4096);
        _start = (byte*)_memory + misalign;
        new Span<byte>(_start, length).Fill(0xee);
        int at = 0;
        for (int i = 0; i < pieces; i++)
        {
            int end = i == pieces - 1 ? length : length / pieces * (i + 1);
            Buffers.Add(_start + at, (nuint)(end - at));
            at = end;
        }
    }

    public Task<int> Completed => _completed.Task;

    /// <summary>The error, once it completed.</summary>
    public int Error => _completed.Task.Result;

    public int Completions { get; private set; }

    public int ThreadId { get; private set; }

    public bool Pinnable { get; init; } = true;

    public bool IsDurable { get; init; }

    public bool Unmap { get; init; }

    public ProbeRequest Set(StoreOperation operation, ulong offset, ulong length)
    {
        Operation = operation;
        Offset = offset;
        Length = length;
        CanPin = Pinnable;
        Durable = IsDurable;
        MayUnmap = Unmap;
        return this;
    }

    public void CopyFrom(ReadOnlySpan<byte> data) => data.CopyTo(new Span<byte>(_start, _length));

    public void CopyTo(Span<byte> data) => new ReadOnlySpan<byte>(_start, _length).CopyTo(data);

    public override void OnCompleted(int error)
    {
        Completions++;
        ThreadId = Environment.CurrentManagedThreadId;
        _completed.TrySetResult(error);
    }

    public void Dispose() => NativeMemory.AlignedFree(_memory);
}

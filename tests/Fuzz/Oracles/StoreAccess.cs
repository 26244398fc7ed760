using Backends.Block.Stores;
using Fuzz.Engine;

namespace Fuzz.Oracles;

/// <summary>Reads and writes a store past the device, as its owner may while nothing else does.</summary>
internal sealed class StoreAccess(IStoreChannel channel) : StoreRequest
{
    private int _error;

    public unsafe void Read(ulong offset, Span<byte> bytes)
    {
        fixed (byte* first = bytes)
            Do(StoreOperation.Read, offset, first, (ulong)bytes.Length);
    }

    public unsafe void Write(ulong offset, ReadOnlySpan<byte> bytes)
    {
        fixed (byte* first = bytes)
            Do(StoreOperation.Write, offset, first, (ulong)bytes.Length);
    }

    public unsafe void Clear(ulong offset, ulong length) => Do(StoreOperation.WriteZeroes, offset, null, length);

    public override void OnCompleted(int error) => _error = error;

    private unsafe void Do(StoreOperation operation, ulong offset, byte* first, ulong length)
    {
        Operation = operation;
        Offset = offset;
        Length = length;
        Buffers.Clear();
        if (first is not null)
            Buffers.Add(first, (nuint)length);

        _error = -1;
        channel.Submit(this);
        FindingException.Require(_error == 0, $"the store {operation}s with error {_error}");
    }
}

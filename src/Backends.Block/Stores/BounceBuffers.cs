using VhostXen.Linux;

namespace Backends.Block.Stores;

/// <summary>
/// Page-aligned, pinnable buffers for what O_DIRECT cannot take from guest memory. Bounded, so that a guest cannot
/// make the host's memory its own: who finds none waits. One worker's.
/// </summary>
internal sealed class BounceBuffers : IDisposable
{
    /// <summary>Bytes of one buffer; longer requests go through it in pieces.</summary>
    public const int Size = 256 * 1024;

    private const int Most = 64;
    private readonly Stack<MappedMemory> _free = new();
    private int _made;

    public bool TryRent(out MappedMemory? buffer)
    {
        if (_free.TryPop(out buffer))
            return true;

        if (_made == Most)
            return false;

        try
        {
            buffer = MappedMemory.Anonymous(Size);
        }
        catch (SystemCallException) when (_made > 0)
        {
            return false;
        }

        _made++;
        return true;
    }

    public void Return(MappedMemory buffer) => _free.Push(buffer);

    public void Dispose()
    {
        foreach (MappedMemory buffer in _free)
            buffer.Dispose();
    }
}

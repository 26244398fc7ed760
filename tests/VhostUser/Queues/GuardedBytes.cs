using VhostXen.Linux;
using static VhostXen.Linux.LibC;

namespace VhostUser.Tests.Queues;

/// <summary>Zeroed bytes that end where an inaccessible page begins: one byte too far ends the process.</summary>
internal sealed unsafe class GuardedBytes : IDisposable
{
    private readonly MappedMemory _memory;

    public GuardedBytes(int length)
    {
        const int PageSize = 4096;
        int pages = (length + PageSize - 1) / PageSize * PageSize;
        _memory = MappedMemory.Anonymous((nuint)(pages + (2 * PageSize)), PROT_NONE);
        if (mprotect(_memory.Pointer + PageSize, (nuint)pages, PROT_READ | PROT_WRITE) != 0)
            throw SystemCallException.FromErrno("mprotect");

        Pointer = _memory.Pointer + PageSize + pages - length;
        Length = length;
    }

    public byte* Pointer { get; }

    public int Length { get; }

    public Span<byte> Span => new(Pointer, Length);

    public void Dispose() => _memory.Dispose();
}

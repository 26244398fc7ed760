using VhostXen.Linux;
using static VhostXen.Linux.LibC;

namespace Fuzz.Oracles;

/// <summary>Memory whose last byte is followed by a page that nobody may touch, and whose first one by bytes that nobody may change.</summary>
internal sealed unsafe class GuardedBytes : IDisposable
{
    private const int Page = 4096;
    private const byte Canary = 0xc5;
    private readonly MappedMemory _memory;
    private readonly int _room;

    /// <param name="room">Bytes there may be at most.</param>
    public GuardedBytes(int room)
    {
        _room = (room + Page) & ~(Page - 1);
        _memory = MappedMemory.Anonymous((nuint)(_room + (2 * Page)), PROT_NONE, MAP_PRIVATE | MAP_NORESERVE);
        void* at = mmap(_memory.Pointer + Page, (nuint)_room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        if ((nint)at == MAP_FAILED)
            throw SystemCallException.FromErrno("mmap");
    }

    public int Length { get; private set; }

    public byte* Pointer => _memory.Pointer + Page + (_room - Length);

    public Span<byte> Span => new(Pointer, Length);

    /// <summary>So many bytes, zeroed, at the very end.</summary>
    public void Begin(int length)
    {
        Length = length;
        Span.Clear();
        Before.Fill(Canary);
    }

    public bool IsWhole => Before.IndexOfAnyExcept(Canary) < 0;

    public void Dispose() => _memory.Dispose();

    private Span<byte> Before => new(_memory.Pointer + Page, _room - Length);
}

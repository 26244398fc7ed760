using VhostXen.Linux;
using static VhostXen.Linux.LibC;

namespace Backends.Block.Tests;

/// <summary>An image file of a test, gone after it.</summary>
internal sealed unsafe class TestFile : IDisposable
{
    public TestFile(long length, string? directory = null)
    {
        Path = System.IO.Path.Combine(directory ?? AppContext.BaseDirectory, $"test-{Guid.NewGuid():n}.img");
        using FileStream stream = File.Create(Path);
        stream.SetLength(length);
    }

    public string Path { get; }

    public byte[] Bytes => File.ReadAllBytes(Path);

    /// <summary>512-byte units that the file takes on its disk.</summary>
    public ulong Blocks
    {
        get
        {
            using FileDescriptor fd = FileDescriptor.Open(Path, O_RDONLY);
            return FileIO.Stat(fd).stx_blocks;
        }
    }

    /// <summary>The first hole at or after an offset; the length when there is none.</summary>
    public long HoleFrom(long offset)
    {
        using FileDescriptor fd = FileDescriptor.Open(Path, O_RDONLY);
        return lseek(fd.Value, offset, SEEK_HOLE);
    }

    public static byte[] Pattern(int length, int seed)
    {
        byte[] bytes = new byte[length];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    public void Dispose() => File.Delete(Path);
}

using System.Diagnostics;
using System.Text;
using VhostXen.Linux;
using static VhostXen.Linux.LibC;

namespace Fuzz.Engine;

/// <summary>
/// The input that runs, in a file that is mapped: it outlives a process that a signal ends. It also ends the process when an
/// input takes too long, since a thread that hangs cannot be taken back.
/// </summary>
internal sealed unsafe class CurrentInput : IDisposable
{
    private const int Size = 1 << 17;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);
    private readonly FileDescriptor _file;
    private readonly MappedMemory _memory;
    private readonly Timer _watch;
    private long _since;

    public CurrentInput(string path)
    {
        _file = FileDescriptor.Open(path, O_RDWR | O_CREAT, 0x180);
        if (ftruncate(_file.Value, Size) != 0)
            throw SystemCallException.FromErrno("ftruncate");

        _memory = MappedMemory.Map(_file, 0, Size);
        _watch = new Timer(_ => Look(), null, TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(1));
    }

    public void Write(string target, byte[] input)
    {
        Volatile.Write(ref _since, Stopwatch.GetTimestamp());
        Span<byte> at = _memory.Span;
        at[4..68].Clear();
        Encoding.ASCII.GetBytes(target, at[4..68]);
        int length = Math.Min(input.Length, Size - 68);
        input.AsSpan(0, length).CopyTo(at[68..]);
        Volatile.Write(ref *(int*)_memory.Pointer, length);
    }

    public void Done()
    {
        Volatile.Write(ref *(int*)_memory.Pointer, 0);
        Volatile.Write(ref _since, 0);
    }

    /// <summary>What ran when the process that wrote the file ended; null when nothing did.</summary>
    public static (string Target, byte[] Input)? Read(string path)
    {
        byte[] bytes = File.ReadAllBytes(path);
        int length = bytes.Length < 68 ? 0 : BitConverter.ToInt32(bytes);
        return length == 0 ? null : (Encoding.ASCII.GetString(bytes.AsSpan(4, 64)).TrimEnd('\0'), bytes[68..(68 + length)]);
    }

    public void Dispose()
    {
        _watch.Dispose();
        _memory.Dispose();
        _file.Dispose();
    }

    private void Look()
    {
        long since = Volatile.Read(ref _since);
        if (since != 0 && Stopwatch.GetElapsedTime(since) > Patience)
            Environment.FailFast($"an input has been running for {Patience.TotalSeconds} seconds");
    }
}

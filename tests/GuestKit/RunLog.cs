using System.Diagnostics;
using System.Globalization;

namespace GuestKit;

/// <summary>One file with everything that was said during a run, by whom and when: guest, QEMU, daemons, the test.</summary>
public sealed class RunLog : IDisposable
{
    private readonly Lock _lock = new();
    private readonly Stopwatch _clock = Stopwatch.StartNew();
    private readonly Queue<string> _tail = new();
    private readonly StreamWriter _writer;
    private bool _closed;

    public RunLog(string path)
    {
        Path = path;
        _writer = new StreamWriter(path) { AutoFlush = true };
    }

    public string Path { get; }

    public void Write(string source, string line)
    {
        string text = string.Create(CultureInfo.InvariantCulture, $"{_clock.Elapsed.TotalSeconds,8:F3} {source,-10} {line}");
        lock (_lock)
        {
            if (_closed)
                return;
            _writer.WriteLine(text);
            _tail.Enqueue(text);
            if (_tail.Count > 40)
                _tail.Dequeue();
        }
    }

    /// <summary>The last lines, for an error message.</summary>
    public string Tail()
    {
        lock (_lock)
            return string.Join('\n', _tail);
    }

    public void Dispose()
    {
        lock (_lock)
        {
            _closed = true;
            _writer.Dispose();
        }
    }
}

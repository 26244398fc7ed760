using System.Diagnostics;
using System.Globalization;

namespace Demo;

/// <summary>Progress lines with the time since the start, and the table at the end.</summary>
internal sealed class Progress
{
    private readonly Stopwatch _clock = Stopwatch.StartNew();
    private readonly List<(string What, bool Good, string Result)> _verified = [];

    private int _liveLength;

    public bool AllGood => _verified.TrueForAll(static row => row.Good);

    public void Say(string text)
    {
        EndLive();
        Console.WriteLine(Line(text));
    }

    /// <summary>A line that the next one overwrites; nothing where the output is no terminal.</summary>
    public void Live(string text)
    {
        if (Console.IsOutputRedirected)
            return;

        string line = Line(text);
        Console.Write("\r" + line.PadRight(_liveLength));
        _liveLength = line.Length;
    }

    public void Verified(string what, bool good, string result) => _verified.Add((what, good, result));

    public void PrintSummary()
    {
        int width = _verified.Max(static row => row.What.Length);
        Console.WriteLine();
        Console.WriteLine("verified:");
        foreach ((string what, bool good, string result) in _verified)
            Console.WriteLine($"  {(good ? "ok  " : "FAIL")}  {what.PadRight(width)}  {result}");

        Console.WriteLine();
        Console.WriteLine(AllGood
            ? string.Create(CultureInfo.InvariantCulture, $"{_verified.Count} checks, all good, {_clock.Elapsed.TotalSeconds:0.0} s")
            : $"{_verified.Count(static row => !row.Good)} of {_verified.Count} checks FAILED");
    }

    private string Line(string text) => string.Create(CultureInfo.InvariantCulture, $"[{_clock.Elapsed.TotalSeconds,6:0.0}s] {text}");

    private void EndLive()
    {
        if (_liveLength != 0)
            Console.Write("\r" + new string(' ', _liveLength) + "\r");

        _liveLength = 0;
    }
}

using System.Diagnostics;

namespace Demo;

/// <summary>Progress lines with the time since the start, and the table at the end.</summary>
internal sealed class Progress
{
    private readonly Stopwatch _clock = Stopwatch.StartNew();
    private readonly List<(string What, bool Good, string Result)> _verified = [];

    public bool AllGood => _verified.TrueForAll(static row => row.Good);

    public void Say(string text) => Console.WriteLine($"[{_clock.Elapsed.TotalSeconds,6:0.0}s] {text}");

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
            ? $"{_verified.Count} checks, all good, {_clock.Elapsed.TotalSeconds:0.0} s"
            : $"{_verified.Count(static row => !row.Good)} of {_verified.Count} checks FAILED");
    }
}

using System.Globalization;

namespace GuestKit;

/// <summary>
/// What a guest says about its job: lines with "VHOSTXEN: " in them, after which comes one of
/// <c>up SECONDS KERNEL</c>, <c>begin NAME</c>, <c>step NAME ok SECONDS</c>, <c>step NAME FAIL CODE</c>,
/// <c>value NAME TEXT</c>, <c>await NAME</c>, <c>module NAME FAIL</c>, <c>done ok</c>, <c>done FAIL</c>.
/// </summary>
public sealed class GuestReport
{
    private const string Marker = "VHOSTXEN: ";

    private readonly Lock _lock = new();
    private readonly List<GuestStep> _steps = [];
    private readonly Dictionary<string, string> _values = [];
    private readonly HashSet<string> _begun = [];
    private readonly HashSet<string> _awaited = [];
    private string? _outcome;

    /// <summary>Seconds from power-on, by the guest's own clock, until init had loaded its drivers; null before.</summary>
    public double? UpAfterSeconds { get; private set; }

    public IReadOnlyList<GuestStep> Steps
    {
        get
        {
            lock (_lock)
                return [.. _steps];
        }
    }

    /// <summary>The job ran to its end, every step as it should.</summary>
    public bool Succeeded
    {
        get
        {
            lock (_lock)
                return _outcome == "ok";
        }
    }

    public bool Done
    {
        get
        {
            lock (_lock)
                return _outcome is not null;
        }
    }

    /// <summary>The last text reported under a name.</summary>
    public string Value(string name) => TryValue(name) ?? throw new InvalidOperationException($"the guest reported no value '{name}'");

    public string? TryValue(string name)
    {
        lock (_lock)
            return _values.GetValueOrDefault(name);
    }

    public bool HasBegun(string step)
    {
        lock (_lock)
            return _begun.Contains(step);
    }

    public bool Awaits(string name)
    {
        lock (_lock)
            return _awaited.Contains(name);
    }

    /// <summary>Takes one line of the guest's output; returns false if it is not part of the report.</summary>
    public bool Add(string line)
    {
        int start = line.IndexOf(Marker, StringComparison.Ordinal);
        if (start < 0)
            return false;
        string[] words = line[(start + Marker.Length)..].TrimEnd().Split(' ', 3);
        lock (_lock)
        {
            switch (words)
            {
                case ["up", var seconds, ..]:
                    UpAfterSeconds = double.Parse(seconds, CultureInfo.InvariantCulture);
                    break;
                case ["begin", var name]:
                    _begun.Add(name);
                    break;
                case ["step", var name, var result]:
                    _steps.Add(ParseStep(name, result));
                    break;
                case ["value", var name, var text]:
                    _values[name] = text;
                    break;
                case ["value", var name]:
                    _values[name] = "";
                    break;
                case ["await", var name]:
                    _awaited.Add(name);
                    break;
                case ["module", _, "FAIL"]:
                    break;
                case ["done", var outcome]:
                    _outcome = outcome;
                    break;
                default:
                    return false;
            }
        }
        return true;
    }

    private static GuestStep ParseStep(string name, string result) => result.Split(' ') switch
    {
        ["ok", var seconds] => new GuestStep(name, true, 0, TimeSpan.FromSeconds(double.Parse(seconds, CultureInfo.InvariantCulture))),
        ["FAIL", var code] => new GuestStep(name, false, int.Parse(code, CultureInfo.InvariantCulture), default),
        _ => throw new FormatException($"step {name} with the result '{result}'"),
    };
}

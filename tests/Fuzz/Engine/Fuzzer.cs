using System.Diagnostics;

namespace Fuzz.Engine;

/// <summary>Feeds one target: new inputs of old ones, and what leads to new behaviour is kept.</summary>
internal sealed class Fuzzer : IDisposable
{
    private const int ShrinkBudget = 300;
    private readonly Func<FuzzTarget> _make;
    private readonly CurrentInput? _current;
    private readonly Corpus? _keep;
    private readonly Random _random;
    private readonly Mutator _mutator;
    private readonly HashSet<string> _known = [];
    private readonly List<byte[]> _inputs = [];
    private readonly Behaviour _seen = new();
    private readonly Stopwatch _running = new();
    private FuzzTarget _target;
    private long _earlierActs;

    /// <param name="name">The target's.</param>
    /// <param name="make">Makes it, again after a finding.</param>
    /// <param name="seed">The same seed feeds the same inputs, as long as the product behaves the same.</param>
    /// <param name="seeds">Inputs to begin with.</param>
    /// <param name="current">Where the input that runs is written down first, in case it is the last; or null.</param>
    /// <param name="keep">Where inputs with new behaviour are saved; or null.</param>
    public Fuzzer(string name, Func<FuzzTarget> make, int seed, IEnumerable<byte[]> seeds, CurrentInput? current = null, Corpus? keep = null)
    {
        Name = name;
        _make = make;
        _current = current;
        _keep = keep;
        _random = new Random(seed);
        _target = make();
        _mutator = new Mutator(_random, _target.MaxLength);
        foreach (byte[] input in seeds)
            Try(input, shrink: false);
    }

    public string Name { get; }

    public long Runs { get; private set; }

    /// <summary>Hostile acts, or inputs where an input is one.</summary>
    public long Acts => _earlierActs + (_target.Acts is var acts and > 0 ? acts : 0);

    /// <summary>What the target says of itself.</summary>
    public string Account => _target.Account;

    public int Inputs => _inputs.Count;

    public int Behaviours => _known.Count;

    public double RunsPerSecond => Runs / Math.Max(0.001, _running.Elapsed.TotalSeconds);

    /// <summary>What went wrong, with the input that did it.</summary>
    public List<(byte[] Input, Exception Cause)> Findings { get; } = [];

    /// <summary>Runs inputs until the time is over.</summary>
    public void RunFor(TimeSpan time)
    {
        long end = Stopwatch.GetTimestamp() + (long)(time.TotalSeconds * Stopwatch.Frequency);
        while (Stopwatch.GetTimestamp() < end)
        {
            bool fresh = _inputs.Count == 0 || _random.Next(8) == 0;
            Try(fresh ? _mutator.Fresh() : _mutator.Mutate(Any(), Any()), shrink: true);
        }
    }

    /// <summary>The target's last look; what it finds is a finding without an input.</summary>
    public void Finish()
    {
        try
        {
            _target.Finish();
        }
        catch (Exception e)
        {
            Findings.Add(([], e));
        }
    }

    public void Dispose() => _target.Dispose();

    private byte[] Any() => _inputs[_random.Next(_inputs.Count)];

    private void Try(byte[] input, bool shrink)
    {
        if (RunOnce(input) is { } cause)
        {
            // Said at once: with threads it may not happen again.
            Console.Error.WriteLine($"{Name}: {cause}");
            Findings.Add((ShrinkFinding(input, cause), cause));
            return;
        }

        string[] things = [.. _seen.Things.Where(thing => !_known.Contains(thing))];
        if (things.Length == 0)
            return;

        byte[] kept = shrink ? Shrinker.Shrink(input, shorter => RunOnce(shorter) is null && things.All(_seen.Things.Contains), ShrinkBudget) : input;
        _known.UnionWith(things);
        _inputs.Add(kept);
        _keep?.Save(kept);
    }

    private byte[] ShrinkFinding(byte[] input, Exception cause)
    {
        string wanted = Kind(cause);
        return Shrinker.Shrink(input, shorter => RunOnce(shorter) is { } again && Kind(again) == wanted, ShrinkBudget);

        static string Kind(Exception e) => $"{e.GetType().Name} {Behaviour.WithoutNumbers(e.Message)}";
    }

    private Exception? RunOnce(byte[] input)
    {
        _current?.Write(Name, input);
        _seen.Clear();
        _running.Start();
        try
        {
            _target.Run(new FuzzInput(input), _seen);
            return null;
        }
        catch (Exception e)
        {
            Renew();
            return e is AggregateException { InnerException: { } inner } ? inner : e;
        }
        finally
        {
            _running.Stop();
            _current?.Done();
            Runs++;
        }
    }

    /// <summary>After a finding nothing is known about what the target holds.</summary>
    private void Renew()
    {
        _earlierActs += _target.Acts;
        try
        {
            _target.Dispose();
        }
        catch (Exception)
        {
            // Broken as it is.
        }

        _target = _make();
    }
}

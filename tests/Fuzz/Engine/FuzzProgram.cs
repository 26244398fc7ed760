using System.Diagnostics;
using System.Globalization;
using Fuzz.Targets;

namespace Fuzz.Engine;

/// <summary>
/// The fuzzer as a program. It works in a child process and watches it: an input that ends the process by a signal is as
/// much a finding as one that throws.
/// </summary>
internal sealed class FuzzProgram
{
    private const string Usage = """
        usage: dotnet run -c Release --project tests/Fuzz -- --target NAME|all [options]

          --target NAME      what to fuzz: {0}, or all of them in turn
          --seconds N        how long in all; 60
          --count N          until there were so many hostile acts (register accesses, or inputs), instead of a time
          --seed N           the same seed begins the same way; 1
          --replay FILE      run this input once, instead
          --verbose          print what the product logs
          --keep             save inputs that lead to new behaviour in the corpus
          --findings FOLDER  where inputs go that break something; ./findings

        Exit code 0 when nothing broke.
        """;

    private static readonly TimeSpan Slice = TimeSpan.FromSeconds(1);

    private string _target = "all";
    private double _seconds = 60;
    private long? _count;
    private int _seed = 1;
    private string? _replay;
    private bool _keep;
    private bool _child;
    private string _findings = "findings";

    public static int Run(string[] args)
    {
        var program = new FuzzProgram();
        if (!program.TryParse(args))
        {
            Console.Error.WriteLine(Usage, string.Join(", ", AllTargets.ByName.Keys));
            return 2;
        }

        return program._child ? program.Work() : program.Watch(args);
    }

    private string CurrentPath => Path.Combine(_findings, ".current");

    private IEnumerable<string> Names => _target == "all" ? AllTargets.ByName.Keys : [_target];

    private bool TryParse(string[] args)
    {
        for (int i = 0; i < args.Length; i++)
        {
            string? value = i + 1 < args.Length ? args[i + 1] : null;
            switch (args[i])
            {
                case "--keep": _keep = true; continue;
                case "--child": _child = true; continue;
                case "--verbose": Oracles.Complaints.Verbose = true; continue;
                case "--target" when value is not null: _target = value; break;
                case "--seconds" when double.TryParse(value, CultureInfo.InvariantCulture, out _seconds): break;
                case "--count" when long.TryParse(value, CultureInfo.InvariantCulture, out long count): _count = count; break;
                case "--seed" when int.TryParse(value, CultureInfo.InvariantCulture, out _seed): break;
                case "--replay" when value is not null: _replay = value; break;
                case "--findings" when value is not null: _findings = value; break;
                default: return false;
            }

            i++;
        }

        return _target == "all" ? _replay is null : AllTargets.ByName.ContainsKey(_target);
    }

    private int Watch(string[] args)
    {
        Directory.CreateDirectory(_findings);
        var start = new ProcessStartInfo(Environment.ProcessPath!);
        if (Path.GetFileNameWithoutExtension(Environment.ProcessPath) == "dotnet")
            start.ArgumentList.Add(typeof(FuzzProgram).Assembly.Location);

        foreach (string argument in args)
            start.ArgumentList.Add(argument);

        start.ArgumentList.Add("--child");
        using Process child = Process.Start(start)!;
        child.WaitForExit();
        if (child.ExitCode is 0 or 1)
        {
            File.Delete(CurrentPath);
            return child.ExitCode;
        }

        Console.Error.WriteLine($"fuzz: the process ended with code {child.ExitCode}");
        if (CurrentInput.Read(CurrentPath) is { } last)
            Console.Error.WriteLine($"fuzz: {last.Target} was running {new Corpus(Path.Combine(_findings, last.Target)).Save(last.Input, "crash-")}");

        return 1;
    }

    private int Work()
    {
        using var current = new CurrentInput(CurrentPath);
        if (_replay is not null)
        {
            byte[] input = File.ReadAllBytes(_replay);
            current.Write(_target, input);
            var seen = new Behaviour();
            using (FuzzTarget target = AllTargets.ByName[_target]())
                target.Run(new FuzzInput(input), seen);

            current.Done();
            foreach (string thing in seen.Things.Order(StringComparer.Ordinal))
                Console.WriteLine(thing);

            return 0;
        }

        // Also so that the runtime opens now what it needs for printing: descriptors are counted.
        Console.WriteLine($"{string.Join(", ", Names)}: {_seconds:0} s with seed {_seed}");
        Fuzzer[] fuzzers = [.. Names.Select(name => Make(name, current))];
        long start = Stopwatch.GetTimestamp();
        var lastLine = TimeSpan.Zero;
        while (_count is { } count ? fuzzers.Sum(ActsOf) < count : Stopwatch.GetElapsedTime(start).TotalSeconds < _seconds)
        {
            // What is left is everybody's alike: the last round is a short one.
            double left = _count is null ? _seconds - Stopwatch.GetElapsedTime(start).TotalSeconds : double.MaxValue;
            foreach (Fuzzer fuzzer in fuzzers)
                fuzzer.RunFor(TimeSpan.FromSeconds(Math.Min(Slice.TotalSeconds, left / fuzzers.Length)));

            if (Stopwatch.GetElapsedTime(start) - lastLine >= TimeSpan.FromSeconds(5))
            {
                lastLine = Stopwatch.GetElapsedTime(start);
                Report(fuzzers, lastLine);
            }
        }

        Report(fuzzers, Stopwatch.GetElapsedTime(start));
        foreach (Fuzzer fuzzer in fuzzers)
        {
            if (fuzzer.Acts > 0)
                Console.WriteLine($"{fuzzer.Name}: seed {_seed}, {fuzzer.Acts} acts at {fuzzer.Acts / Stopwatch.GetElapsedTime(start).TotalSeconds:0}/s, {fuzzer.Account}");

            fuzzer.Finish();
        }

        return End(fuzzers);
    }

    private Fuzzer Make(string name, CurrentInput current)
    {
        var corpus = new Corpus(Path.Combine(Corpus.Root, name));
        return new Fuzzer(name, AllTargets.ByName[name], _seed, corpus.Load().Select(static entry => entry.Input), current, _keep ? corpus : null);
    }

    private static long ActsOf(Fuzzer fuzzer) => fuzzer.Acts > 0 ? fuzzer.Acts : fuzzer.Runs;

    private static void Report(Fuzzer[] fuzzers, TimeSpan elapsed)
        => Console.WriteLine($"[{elapsed.TotalSeconds,5:0}s] " + string.Join(" | ", fuzzers.Select(static fuzzer =>
            $"{fuzzer.Name} {fuzzer.Runs} at {fuzzer.RunsPerSecond:0}/s, {fuzzer.Inputs} inputs, {fuzzer.Behaviours} behaviours"
            + (fuzzer.Findings.Count == 0 ? "" : $", {fuzzer.Findings.Count} FINDINGS"))));

    private int End(Fuzzer[] fuzzers)
    {
        int findings = 0;
        foreach (Fuzzer fuzzer in fuzzers)
        {
            var told = new HashSet<string>();
            foreach ((byte[] input, Exception cause) in fuzzer.Findings)
            {
                findings++;
                string path = new Corpus(Path.Combine(_findings, fuzzer.Name)).Save(input, "crash-");
                if (told.Add(Behaviour.WithoutNumbers(cause.Message)))
                    Console.WriteLine($"{fuzzer.Name}: {path}\n{cause}\n");
            }

            fuzzer.Dispose();
        }

        Console.WriteLine(findings == 0 ? "nothing broke" : $"{findings} inputs broke something");
        return findings == 0 ? 0 : 1;
    }
}

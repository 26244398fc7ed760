using System.Collections.Concurrent;
using Fuzz.Engine;
using Microsoft.Extensions.Logging;

namespace Fuzz.Oracles;

/// <summary>
/// What threads of the product did wrong, to be thrown by the thread that runs the input; and a logger that hears the
/// product's own confessions ("a failure of this program") and notes every cause it names.
/// </summary>
internal sealed class Complaints : ILogger
{
    // Errors that a hostile peer, a disk or an application that was told to fail is entitled to; every other error is ours.
    private static readonly string[] Theirs = ["the front-end broke the protocol", "broken by the driver", "failed on the host", "the back-end refused SET_VRING", "the handler of the back-end's"];

    private readonly ConcurrentQueue<string> _found = new();
    private Behaviour? _seen;

    public void Listen(Behaviour? seen) => Volatile.Write(ref _seen, seen);

    public void Add(string complaint) => _found.Enqueue(complaint);

    /// <exception cref="FindingException">There was one.</exception>
    public void ThrowIfAny()
    {
        if (_found.TryDequeue(out string? first))
            throw new FindingException(first);
    }

    /// <summary>An error that is to be expected for now; null for none.</summary>
    public string? Forgiven { get; set; }

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull
        => null;

    /// <summary>Print everything that the product logs (--verbose).</summary>
    public static bool Verbose { get; set; }

    public bool IsEnabled(LogLevel logLevel) => Verbose || logLevel >= LogLevel.Information;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        if (!IsEnabled(logLevel))
            return;

        string text = formatter(state, exception);
        if (Verbose)
            Console.WriteLine($"  {text}");

        if (logLevel < LogLevel.Information)
            return;

        if (logLevel >= LogLevel.Error && !Array.Exists(Theirs, text.Contains) && !(Forgiven is { } forgiven && text.Contains(forgiven)))
            Add($"{text} {exception}");
        else
            Volatile.Read(ref _seen)?.Saw(text);
    }
}

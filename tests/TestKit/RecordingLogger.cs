using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;

namespace TestKit;

/// <summary>Keeps what was logged, for tests that insist on one clear line.</summary>
public sealed class RecordingLogger : ILogger
{
    private readonly ConcurrentQueue<(LogLevel Level, string Text)> _entries = new();

    /// <summary>Everything from information up.</summary>
    public IReadOnlyList<string> Lines => [.. _entries.Where(static entry => entry.Level >= LogLevel.Information).Select(static entry => entry.Text)];

    /// <summary>Warnings and errors.</summary>
    public IReadOnlyList<string> Complaints => [.. _entries.Where(static entry => entry.Level >= LogLevel.Warning).Select(static entry => entry.Text)];

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull
        => null;

    public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Information;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        if (IsEnabled(logLevel))
            _entries.Enqueue((logLevel, exception is null ? formatter(state, exception) : $"{formatter(state, exception)}: {exception}"));
    }
}

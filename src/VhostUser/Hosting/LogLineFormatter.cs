using System.Globalization;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Logging.Console;

namespace VhostUser.Hosting;

/// <summary>One line per event: time, level, message. Under systemd the level is the journal's prefix and the time is its own.</summary>
internal sealed class LogLineFormatter() : ConsoleFormatter(FormatterName)
{
    public const string FormatterName = "line";

    private static readonly bool Journal = Environment.GetEnvironmentVariable("JOURNAL_STREAM") is not null;

    public override void Write<TState>(in LogEntry<TState> logEntry, IExternalScopeProvider? scopeProvider, TextWriter textWriter)
    {
        string message = logEntry.Formatter(logEntry.State, logEntry.Exception);
        if (Journal)
            textWriter.Write(Priority(logEntry.LogLevel));
        else
            textWriter.Write(string.Create(CultureInfo.InvariantCulture, $"{DateTime.Now:yyyy-MM-dd HH:mm:ss.fff} {LevelName(logEntry.LogLevel)} "));

        textWriter.Write(message);
        if (logEntry.Exception is { } exception)
        {
            // The journal takes a line for an event of its own: the trace goes on one line.
            textWriter.Write(": ");
            textWriter.Write(Journal ? exception.ToString().ReplaceLineEndings(" | ") : exception.ToString());
        }

        textWriter.Write('\n');
    }

    private static string LevelName(LogLevel level) => level switch
    {
        LogLevel.Trace => "trace",
        LogLevel.Debug => "debug",
        LogLevel.Information => "info ",
        LogLevel.Warning => "warn ",
        LogLevel.Error => "error",
        _ => "fatal",
    };

    private static string Priority(LogLevel level) => level switch
    {
        LogLevel.Trace or LogLevel.Debug => "<7>",
        LogLevel.Information => "<6>",
        LogLevel.Warning => "<4>",
        LogLevel.Error => "<3>",
        _ => "<2>",
    };
}

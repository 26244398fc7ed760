using System.Diagnostics;
using VhostXen.Linux;

namespace GuestKit;

/// <summary>
/// A process that a run started: its output goes line by line to the log, and it does not outlive the run.
/// Signals go to its own id and to nothing else.
/// </summary>
public sealed class ChildProcess : IAsyncDisposable
{
    private readonly Process _process;
    private readonly Task _output;

    private ChildProcess(string name, Process process, Task output, Task<int> exited)
    {
        Name = name;
        _process = process;
        _output = output;
        Exited = exited;
    }

    public string Name { get; }

    public int Id => _process.Id;

    /// <summary>Completes with the exit code (128 + signal when killed) once all output has been seen.</summary>
    public Task<int> Exited { get; }

    public static ChildProcess Start(GuestRun run, string name, CommandLine command, Action<string>? onLine = null)
    {
        var start = new ProcessStartInfo(command.Program, command.Arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = run.Directory,
        };
        run.Log.Write("run", $"{name}: {command}");
        Process process = Process.Start(start) ?? throw new InvalidOperationException($"cannot start {command.Program}");
        EventHandler kill = (_, _) => Signal(process, LibC.SIGKILL); // the test host was told to end: leave no orphan
        AppDomain.CurrentDomain.ProcessExit += kill;

        async Task PumpAsync(StreamReader reader, Action<string>? sink)
        {
            while (await reader.ReadLineAsync() is { } line)
            {
                run.Log.Write(name, line);
                sink?.Invoke(line);
            }
        }

        Task output = Task.WhenAll(PumpAsync(process.StandardOutput, onLine), PumpAsync(process.StandardError, onLine));

        async Task<int> WaitAsync()
        {
            await process.WaitForExitAsync();
            AppDomain.CurrentDomain.ProcessExit -= kill;
            await output;
            run.Log.Write(name, $"(exit code {process.ExitCode})");
            return process.ExitCode;
        }

        return run.Own(new ChildProcess(name, process, output, WaitAsync()));
    }

    public void WriteLine(string line)
    {
        _process.StandardInput.WriteLine(line);
        _process.StandardInput.Flush();
    }

    public void Terminate() => Signal(_process, LibC.SIGTERM);

    public void HangUp() => Signal(_process, LibC.SIGHUP);

    public void Kill() => Signal(_process, LibC.SIGKILL);

    public async ValueTask DisposeAsync()
    {
        Kill();
        await Exited;
        _process.Dispose();
    }

    private static void Signal(Process process, int signal)
    {
        // Until the exit has been collected the id cannot belong to another process.
        if (!process.HasExited)
            _ = LibC.kill(process.Id, signal);
    }
}

namespace GuestKit;

/// <summary>
/// One run of guests and daemons: owns its directory outside the repository, its log and every process started in it.
/// A run that succeeds leaves nothing behind; one that fails leaves its directory and names it.
/// </summary>
public sealed class GuestRun : IAsyncDisposable
{
    private readonly Stack<IAsyncDisposable> _owned = new();

    private GuestRun(string name)
    {
        // Unix socket paths end at 107 bytes: keep this short.
        Directory = System.IO.Directory.CreateTempSubdirectory($"vhostxen-{name}-").FullName;
        Log = new RunLog(PathOf("run.log"));
    }

    public string Directory { get; }

    public RunLog Log { get; }

    /// <summary>Runs <paramref name="body"/>, then ends whatever it started, in reverse order.</summary>
    /// <exception cref="GuestRunException">The body failed; the message has the path of the log and its end.</exception>
    public static async Task RunAsync(string name, Func<GuestRun, Task> body)
    {
        var run = new GuestRun(name);
        try
        {
            await body(run);
            run.Log.Write("run", "succeeded");
        }
        catch (Exception e)
        {
            run.Log.Write("run", $"FAILED: {e}");
            string tail = run.Log.Tail();
            await run.DisposeAsync();
            throw new GuestRunException($"{e.Message}\nLog of the run: {run.Log.Path}\n{tail}", e);
        }
        await run.DisposeAsync();
        System.IO.Directory.Delete(run.Directory, recursive: true);
    }

    public string PathOf(string file) => Path.Combine(Directory, file);

    internal T Own<T>(T resource)
        where T : IAsyncDisposable
    {
        _owned.Push(resource);
        return resource;
    }

    public async ValueTask DisposeAsync()
    {
        while (_owned.TryPop(out IAsyncDisposable? resource))
            await resource.DisposeAsync();
        Log.Dispose();
    }
}

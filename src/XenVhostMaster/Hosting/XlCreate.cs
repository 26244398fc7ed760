using System.Diagnostics;
using System.Text.RegularExpressions;

namespace XenVhostMaster.Hosting;

/// <summary>"xl create" for somebody who wants to be there before the guest's first instruction.</summary>
internal static partial class XlCreate
{
    /// <summary>The name of the guest that the command makes: from its configuration file, or an assignment on the command line.</summary>
    /// <exception cref="OptionsException">It is no xl create, or does not tell.</exception>
    public static string FindName(IReadOnlyList<string> command)
    {
        int create = IndexOfCreate(command);
        string? name = null;
        foreach (string word in command.Skip(create + 1).Where(static word => !word.StartsWith('-')))
        {
            // xl takes assignments too, one per word; the last one counts.
            string text = word.Contains('=', StringComparison.Ordinal) || !File.Exists(word) ? word : File.ReadAllText(word);
            foreach (Match match in Name().Matches(text))
                name = match.Groups["name"].Value;
        }

        return name ?? throw new OptionsException("no name = \"...\" in the guest's configuration");
    }

    /// <summary>Runs it, with the guest left paused.</summary>
    /// <returns>xl's exit code.</returns>
    public static Task<int> CreatePausedAsync(IReadOnlyList<string> command, CancellationToken cancellation)
    {
        List<string> words = [.. command];
        if (!IsPaused(command))
            words.Insert(IndexOfCreate(command) + 1, "-p");

        return RunAsync(words, cancellation);
    }

    /// <summary>Lets the guest run, unless the user's own command leaves it paused.</summary>
    public static Task<int> UnpauseAsync(IReadOnlyList<string> command, string name, CancellationToken cancellation)
        => IsPaused(command) ? Task.FromResult(0) : RunAsync([command[0], "unpause", name], cancellation);

    private static int IndexOfCreate(IReadOnlyList<string> command)
    {
        for (int i = 1; i < command.Count; i++)
        {
            if (command[i] == "create")
                return i;
        }

        throw new OptionsException("the command of 'run' is xl create and its arguments");
    }

    private static bool IsPaused(IReadOnlyList<string> command) => command.Any(static word => word == "-p");

    private static async Task<int> RunAsync(IReadOnlyList<string> words, CancellationToken cancellation)
    {
        var start = new ProcessStartInfo(words[0]) { UseShellExecute = false };
        foreach (string word in words.Skip(1))
            start.ArgumentList.Add(word);

        using Process process = Process.Start(start) ?? throw new IOException($"{words[0]} did not start");
        await process.WaitForExitAsync(cancellation).ConfigureAwait(false);
        return process.ExitCode;
    }

    [GeneratedRegex("""^\s*name\s*=\s*["']?(?<name>[^"'\s;#]+)["']?""", RegexOptions.Multiline)]
    private static partial Regex Name();
}

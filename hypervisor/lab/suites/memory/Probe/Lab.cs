using System.Diagnostics;

/// <summary>What the guest says, and xl.</summary>
internal static class Lab
{
    public static string? WaitForLine(string file, string marker, TimeSpan deadline)
    {
        for (long start = Stopwatch.GetTimestamp(); Stopwatch.GetElapsedTime(start) < deadline; Thread.Sleep(300))
        {
            if (!File.Exists(file)) continue;
            string? line = File.ReadLines(file).FirstOrDefault(line => line.Contains(marker, StringComparison.Ordinal));
            if (line is not null) return line.Trim();
        }
        return null;
    }

    public static string Output(string program, params string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true })!;
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode == 0 ? output.Trim() : throw new InvalidOperationException($"{program}: exit code {process.ExitCode}");
    }

    public static int Xl(params string[] arguments)
    {
        using Process process = Process.Start("xl", arguments);
        process.WaitForExit();
        return process.ExitCode;
    }
}

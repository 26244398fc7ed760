using System.Globalization;

namespace GuestFio;

/// <summary>Medians of both daemons side by side, and the first one's share of the second's.</summary>
internal static class Table
{
    public static void Write(TextWriter output, string[] daemons, ILookup<(Workload, int), Sample> samples)
    {
        output.WriteLine();
        output.WriteLine($"| workload | {daemons[0]} req/s | {daemons[1]} req/s | ratio | {daemons[0]} CPU us/req | {daemons[1]} CPU us/req | ratio |");
        output.WriteLine("|---|--:|--:|--:|--:|--:|--:|");
        foreach (Workload workload in Workload.All)
        {
            Sample ours = Sample.Median([.. samples[(workload, 0)]]);
            Sample theirs = Sample.Median([.. samples[(workload, 1)]]);
            output.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"| {workload} | {ours.RequestsPerSecond:F0} | {theirs.RequestsPerSecond:F0} | {ours.RequestsPerSecond / theirs.RequestsPerSecond:F2} "
                + $"| {ours.MicrosecondsPerRequest:F2} | {theirs.MicrosecondsPerRequest:F2} | {ours.MicrosecondsPerRequest / theirs.MicrosecondsPerRequest:F2} |"));
        }
    }
}

namespace GuestFio;

/// <summary>One measurement: requests per second as fio saw them, processor time of the daemon per request.</summary>
internal readonly record struct Sample(double RequestsPerSecond, double MicrosecondsPerRequest)
{
    public static Sample Median(IReadOnlyCollection<Sample> samples) => new(
        Median(samples.Select(sample => sample.RequestsPerSecond)),
        Median(samples.Select(sample => sample.MicrosecondsPerRequest)));

    private static double Median(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        int middle = sorted.Length / 2;
        return sorted.Length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
    }
}

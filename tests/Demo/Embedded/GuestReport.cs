using System.Globalization;

namespace Demo.Embedded;

/// <summary>What a synthetic guest says of itself: key=value, the last value up to the end of the line.</summary>
internal sealed class GuestReport
{
    private readonly Dictionary<string, string> _values = [];

    public string State => _values["state"];

    public bool HasEnded => State != "running";

    public bool Passed => State == "passed";

    public string Failure => _values.GetValueOrDefault("failure", "");

    public string this[string key] => _values[key];

    public long Requests => Number("requests");

    public double Seconds => Number("milliseconds") / 1000.0;

    public static GuestReport Parse(string text)
    {
        var report = new GuestReport();
        int failure = text.IndexOf(" failure=", StringComparison.Ordinal);
        if (failure >= 0)
        {
            report._values["failure"] = text[(failure + 9)..];
            text = text[..failure];
        }

        foreach (string word in text.Split(' '))
        {
            int equals = word.IndexOf('=');
            report._values[word[..equals]] = word[(equals + 1)..];
        }

        return report;
    }

    public long Number(string key) => long.Parse(_values[key], CultureInfo.InvariantCulture);
}

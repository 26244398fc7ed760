using System.Globalization;

namespace GuestFio;

/// <summary>What the comparison is to measure.</summary>
internal sealed record FioOptions
{
    public const string Usage = """
        Compares vhostxen-blk with qemu-storage-daemon: one Linux guest with a disk from each, on the same file.
          --rounds=N      measurements per workload and daemon, in alternating order; medians are shown (5)
          --seconds=N     length of one measurement (4)
          --queues=N      queues per disk (1)
          --noise=1       qemu-storage-daemon on both sides: shows how much of a ratio is noise
          --poll-us=N     passed to vhostxen-blk; its own default otherwise
        """;

    public int Rounds { get; private init; } = 5;

    public int Seconds { get; private init; } = 4;

    public int Queues { get; private init; } = 1;

    public bool Noise { get; private init; }

    public int? PollMicroseconds { get; private init; }

    /// <summary>Null if the arguments make no sense.</summary>
    public static FioOptions? Parse(string[] arguments)
    {
        var options = new FioOptions();
        foreach (string argument in arguments)
        {
            string[] parts = argument.Split('=', 2);
            if (parts.Length != 2 || !int.TryParse(parts[1], CultureInfo.InvariantCulture, out int number) || number < 0)
                return null;
            FioOptions? next = parts[0] switch
            {
                "--rounds" when number > 0 => options with { Rounds = number },
                "--seconds" when number > 0 => options with { Seconds = number },
                "--queues" when number > 0 => options with { Queues = number },
                "--noise" => options with { Noise = number != 0 },
                "--poll-us" => options with { PollMicroseconds = number },
                _ => null,
            };
            if (next is null)
                return null;
            options = next;
        }
        return options;
    }
}

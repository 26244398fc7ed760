using System.Globalization;

namespace XenModel.Guests;

/// <summary>What a guest with a disk does.</summary>
public sealed record DiskGuestOptions
{
    /// <summary>Names the contents and the order of requests.</summary>
    public ulong Seed { get; init; } = 1;

    /// <summary>Requests per queue.</summary>
    public int Requests { get; init; } = 1000;

    /// <summary>Requests per queue that earlier lives did: the disk is first read whole and compared with what they left.</summary>
    public int Skip { get; init; }

    public int Queues { get; init; } = 2;

    /// <summary>Requests in flight per queue at most.</summary>
    public int Depth { get; init; } = 32;

    /// <summary>How often the device is reset with requests in flight.</summary>
    public int Resets { get; init; }

    /// <summary>The device may touch granted pages only.</summary>
    public bool Grants { get; init; }

    /// <summary>virtio-mmio: where the registers are. Null: the guest looks for PCI.</summary>
    public ulong? MmioBase { get; init; }

    /// <summary>virtio-mmio: the shared peripheral interrupt.</summary>
    public uint Irq { get; init; } = 33;

    /// <summary>PCI: the slot of the disk; null for the first disk found.</summary>
    public int? Slot { get; init; }

    /// <summary>Reads key=value[,key=value...]: seed, requests, skip, queues, depth, resets, grants=yes|no, base, irq, slot.</summary>
    /// <exception cref="FormatException">It says something else.</exception>
    public static DiskGuestOptions Parse(string text)
    {
        var options = new DiskGuestOptions();
        foreach (string part in text.Split(',', StringSplitOptions.RemoveEmptyEntries))
        {
            string[] sides = part.Split('=', 2);
            if (sides.Length != 2) throw new FormatException($"'{part}' is not key=value");
            options = sides[0] switch
            {
                "seed" => options with { Seed = Number(part, sides[1]) },
                "requests" => options with { Requests = Small(part, sides[1], int.MaxValue) },
                "skip" => options with { Skip = Small(part, sides[1], int.MaxValue) },
                "queues" => options with { Queues = Math.Max(1, Small(part, sides[1], 16)) },
                "depth" => options with { Depth = Math.Max(1, Small(part, sides[1], 128)) },
                "resets" => options with { Resets = Small(part, sides[1], 1000) },
                "grants" when sides[1] is "yes" or "no" => options with { Grants = sides[1] == "yes" },
                "base" => options with { MmioBase = Number(part, sides[1]) },
                "irq" => options with { Irq = (uint)Small(part, sides[1], 1019) },
                "slot" => options with { Slot = Small(part, sides[1], 31) },
                _ => throw new FormatException($"'{part}': know seed, requests, skip, queues, depth, resets, grants (yes, no), base, irq, slot"),
            };
        }

        return options;
    }

    private static int Small(string part, string value, int most) => Number(part, value) is var number && number <= (ulong)most
        ? (int)number
        : throw new FormatException($"'{part}' is more than {most}");

    private static ulong Number(string part, string value)
    {
        bool hex = value.StartsWith("0x", StringComparison.OrdinalIgnoreCase);
        return ulong.TryParse(hex ? value.AsSpan(2) : value, hex ? NumberStyles.AllowHexSpecifier : NumberStyles.None, CultureInfo.InvariantCulture, out ulong number)
            ? number
            : throw new FormatException($"'{part}' has no number");
    }
}

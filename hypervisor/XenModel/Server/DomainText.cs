using System.Globalization;
using XenModel.Domains;

namespace XenModel.Server;

/// <summary>A domain's options as one word: name=vm1,memory=128,vcpus=2,type=pvh.</summary>
internal static class DomainText
{
    /// <exception cref="FormatException">It says something else.</exception>
    public static DomainOptions Parse(string text)
    {
        var options = new DomainOptions();
        foreach (string part in text.Split(','))
        {
            string[] sides = part.Split('=', 2);
            if (sides.Length != 2) throw new FormatException($"'{part}' is not key=value");
            options = sides[0] switch
            {
                "name" when sides[1].Length > 0 => options with { Name = sides[1] },
                "memory" => options with { MemoryMiB = Number(part, sides[1]) },
                "vcpus" => options with { Vcpus = Number(part, sides[1]) },
                "type" => options with { Type = TypeOf(sides[1]) },
                "paused" => options with { Paused = Flag(part, sides[1]) },
                "maxgrantframes" => options with { MaxGrantFrames = Number(part, sides[1]) },
                "target" => options with { Target = checked((ushort)Number(part, sides[1])) },
                _ => throw new FormatException($"'{part}': know name, memory (MiB), vcpus, type (pvh, hvm, pv), paused (yes, no), maxgrantframes, target"),
            };
        }

        return options;
    }

    private static int Number(string part, string value) =>
        int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out int number) ? number : throw new FormatException($"'{part}' has no number");

    private static bool Flag(string part, string value) => value switch
    {
        "yes" => true,
        "no" => false,
        _ => throw new FormatException($"'{part}' is neither yes nor no"),
    };

    private static DomainType TypeOf(string value) => value switch
    {
        "pvh" => DomainType.PVH,
        "hvm" => DomainType.HVM,
        "pv" => DomainType.PV,
        _ => throw new FormatException($"type '{value}' is none of pvh, hvm, pv"),
    };
}

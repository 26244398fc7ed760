using System.Globalization;

namespace XenVhostMaster.Frontends;

/// <summary>A virtio device type: a number, and for some numbers what a guest's firmware likes to know. Any number works.</summary>
/// <param name="Id">The virtio device id (virtio 1.3, chapter 5).</param>
/// <param name="Name">For people.</param>
/// <param name="PciClass">Base class, subclass, interface.</param>
/// <param name="DefaultQueues">Where neither the user nor the back-end says how many.</param>
internal readonly record struct DeviceKind(uint Id, string Name, uint PciClass, int DefaultQueues)
{
    private const uint Unclassified = 0x00ff00;

    public const uint NetId = 1;

    /// <summary>The last id that fits a PCI device id (0x1040 to 0x107f).</summary>
    public const uint LastId = 0x3f;

    private static readonly DeviceKind[] Known =
    [
        new(1, "net", 0x020000, 2),
        new(2, "block", 0x018000, 1),
        new(3, "console", 0x078000, 2),
        new(4, "rng", Unclassified, 1),
        new(5, "balloon", Unclassified, 2),
        new(8, "scsi", 0x010000, 3),
        new(16, "gpu", 0x038000, 2),
        new(18, "input", 0x098000, 2),
        new(19, "vsock", 0x078000, 3),
        new(20, "crypto", 0x108000, 2),
        new(25, "sound", 0x040100, 4),
        new(26, "fs", 0x018000, 2),
        new(28, "rpmb", Unclassified, 1),
        new(32, "scmi", Unclassified, 2),
        new(34, "i2c", Unclassified, 1),
        new(36, "can", Unclassified, 3),
        new(41, "gpio", Unclassified, 2),
        new(45, "spi", Unclassified, 1),
    ];

    /// <summary>Any name of the list, "device22" as xl writes it (hexadecimal), or a plain number.</summary>
    public static bool TryParse(string text, out DeviceKind kind)
    {
        uint id;
        foreach (DeviceKind known in Known)
        {
            if (known.Name == text)
            {
                kind = known;
                return true;
            }
        }

        bool parsed = text.StartsWith("device", StringComparison.Ordinal)
            ? uint.TryParse(text.AsSpan(6), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out id)
            : uint.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out id);
        kind = parsed ? FromId(id) : default;
        return parsed && id is > 0 and <= LastId;
    }

    public static DeviceKind FromId(uint id)
    {
        foreach (DeviceKind known in Known)
        {
            if (known.Id == id)
                return known;
        }

        return new DeviceKind(id, string.Create(CultureInfo.InvariantCulture, $"virtio-{id}"), Unclassified, 1);
    }
}

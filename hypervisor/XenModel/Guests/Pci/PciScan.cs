using XenModel.Domains;

namespace XenModel.Guests.Pci;

/// <summary>What a kernel without ACPI does to find its devices: looks at every place on bus 0.</summary>
internal static class PciScan
{
    /// <summary>Where this guest puts BARs: in the hole of a PVH guest, elsewhere than the device model would.</summary>
    public const ulong FirstBar = 0xfd00_0000;

    /// <summary>All functions but the host bridge, with their BARs assigned.</summary>
    /// <exception cref="GuestCheckException">There is no host bridge, so there is no bus.</exception>
    public static IReadOnlyList<PciFunction> Run(Vcpu cpu)
    {
        List<PciFunction> found = [];
        ulong place = FirstBar;
        for (int device = 0; device < 32; device++)
        {
            var first = new PciFunction(cpu, device, 0);
            if (!first.IsPresent) continue;
            Take(first);
            for (int function = 1; function < 8 && first.HasMoreFunctions; function++)
            {
                var other = new PciFunction(cpu, device, function);
                if (other.IsPresent) Take(other);
            }
        }

        if (found.Count == 0 || !found[0].IsHostBridge) throw new GuestCheckException("no PCI host bridge at 0000:00:00.0");
        return [.. found.Skip(1)];

        void Take(PciFunction function)
        {
            if (!function.IsHostBridge) place = function.Assign(place);
            found.Add(function);
        }
    }
}

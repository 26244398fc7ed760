namespace XenModel.Domains;

/// <summary>How a domain runs.</summary>
public enum DomainType
{
    /// <summary>Paravirtual: no translated memory, no device model.</summary>
    PV,

    /// <summary>Hardware-virtualized, with a device model and the emulated PC platform.</summary>
    HVM,

    /// <summary>Hardware-virtualized, without firmware or platform devices: a local APIC and nothing else.</summary>
    PVH,
}

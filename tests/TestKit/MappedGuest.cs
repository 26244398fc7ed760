using VhostUser.Memory;

namespace TestKit;

/// <summary>A <see cref="TestMemory"/> mapped a second time, as a back-end in another process would.</summary>
public sealed class MappedGuest : IDisposable
{
    internal MappedGuest(TestMemory memory, IGuestMemoryProvider provider)
        => Map = new GuestMemoryMap(memory.Regions.Select(region => new GuestMemoryRegion(region, provider.Map(region, memory.File))).ToArray());

    public GuestMemoryMap Map { get; }

    public void Dispose()
    {
        foreach (GuestMemoryRegion region in Map.Regions)
            region.Dispose();
    }
}

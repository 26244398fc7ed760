using XenVhostMaster.Transports.Pci;

namespace XenVhostMaster.Tests.Transports;

/// <summary>Remembers interrupts and claims; refuses overlaps as Xen does.</summary>
internal sealed class FakePciSink : IPciSink
{
    public List<(ulong Address, uint Data)> Messages { get; } = [];

    public bool KeepMessages { get; init; } = true;

    public long MessageCount { get; private set; }

    public Dictionary<int, bool> Pins { get; } = [];

    public List<(ulong Start, ulong End)> Claims { get; } = [];

    public void InjectMsi(ulong address, uint data)
    {
        MessageCount++;
        if (KeepMessages)
            Messages.Add((address, data));
    }

    public void SetInterruptPin(int device, int pin, bool asserted)
    {
        Assert.Equal(0, pin);
        Assert.NotEqual(asserted, Pins.GetValueOrDefault(device));
        Pins[device] = asserted;
    }

    public bool ClaimMemory(ulong start, ulong end)
    {
        Assert.DoesNotContain(Claims, claim => start <= claim.End && claim.Start <= end);
        Claims.Add((start, end));
        return true;
    }

    public void ReleaseMemory(ulong start, ulong end) => Assert.True(Claims.Remove((start, end)), "released what was not claimed");
}

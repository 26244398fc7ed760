using TestKit;
using VhostUser.Protocol;
using VhostUser.Queues;
using Xunit;

namespace VhostUser.Tests.Queues;

/// <summary>Every lie breaks the ring, once and for good, and nothing else.</summary>
public class LieTests
{
    public static TheoryData<RingLie, ulong, int> Lies()
    {
        TheoryData<RingLie, ulong, int> all = [];
        foreach (RingLie lie in Enum.GetValues<RingLie>())
        {
            foreach (ulong form in (ReadOnlySpan<ulong>)[0, VirtioFeatures.RingPacked])
            {
                foreach (int size in (ReadOnlySpan<int>)[1, 2, 16, 256])
                {
                    ulong features = lie == RingLie.IndirectNotNegotiated ? form : form | VirtioFeatures.IndirectDesc;
                    using TestMemory memory = new();
                    if (DriverRing.Create(memory, size, features).CanTell(lie))
                        all.Add(lie, features, size);
                }
            }
        }

        return all;
    }

    [Theory]
    [MemberData(nameof(Lies))]
    public void TryPop_Lie_BreaksTheRing(RingLie lie, ulong features, int size)
    {
        using RingRig rig = new(size, features);
        rig.Driver.Tell(lie);
        PopResult result = rig.Pop();

        // What the device has already is no lie yet: the second chain is.
        for (int i = 0; result == PopResult.Chain && i <= size; i++)
            result = rig.Device.TryPop(new DescriptorChain());

        Assert.Equal(PopResult.Broken, result);
        Assert.False(string.IsNullOrEmpty(rig.Device.BrokenCause));
        string cause = rig.Device.BrokenCause;
        Assert.Equal(PopResult.Broken, rig.Pop());
        Assert.Same(cause, rig.Device.BrokenCause);
        Assert.False(rig.Device.Publish());
        Assert.False(rig.Device.AllowKicks());
    }
}

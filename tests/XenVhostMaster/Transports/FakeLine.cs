using XenVhostMaster.Transports;

namespace XenVhostMaster.Tests.Transports;

internal sealed class FakeLine : IInterruptLine
{
    public bool Level { get; private set; }

    public int Edges { get; private set; }

    public void Set(bool asserted)
    {
        Assert.NotEqual(asserted, Level);
        Level = asserted;
        Edges += asserted ? 1 : 0;
    }
}

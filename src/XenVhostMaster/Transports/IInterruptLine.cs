namespace XenVhostMaster.Transports;

/// <summary>A wired interrupt. Called on the I/O thread, only when the level changes.</summary>
internal interface IInterruptLine
{
    void Set(bool asserted);
}

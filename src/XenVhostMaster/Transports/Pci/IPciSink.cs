namespace XenVhostMaster.Transports.Pci;

/// <summary>Where a PCI function's interrupts and address ranges go. Called on the I/O thread.</summary>
internal interface IPciSink
{
    /// <summary>A message-signalled interrupt, all 64 address bits as the guest wrote them.</summary>
    void InjectMsi(ulong address, uint data);

    /// <summary>The level of a function's interrupt pin.</summary>
    /// <param name="pin">0 is INTA.</param>
    void SetInterruptPin(int device, int pin, bool asserted);

    /// <summary>Claims guest addresses, both ends included.</summary>
    /// <returns>False: they cannot be claimed; accesses there will not come.</returns>
    bool ClaimMemory(ulong start, ulong end);

    void ReleaseMemory(ulong start, ulong end);
}

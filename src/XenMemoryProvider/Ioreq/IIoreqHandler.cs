namespace XenMemoryProvider.Ioreq;

/// <summary>Who emulates what a guest accesses.</summary>
public interface IIoreqHandler
{
    /// <summary>
    /// Carries a request out. Called by the thread that serves; the virtual CPU waits, whatever it asked. It should not
    /// throw: if it does, the guest reads all ones and the exception goes to who serves.
    /// </summary>
    /// <param name="request">Checked as far as <see cref="IoRequest"/> says; its addresses are the guest's.</param>
    /// <param name="value">What the guest reads. Ignored for writes, and where the data is in guest memory: then the handler writes there.</param>
    /// <returns>True: answered. False: <see cref="IoreqServer.Complete"/> will be called for this virtual CPU, once, from any thread.</returns>
    bool Handle(in IoRequest request, out ulong value);
}

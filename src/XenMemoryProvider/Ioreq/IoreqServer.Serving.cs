using XenMemoryProvider.Abi;

namespace XenMemoryProvider.Ioreq;

public sealed unsafe partial class IoreqServer
{
    /// <summary>
    /// Answers the virtual CPU behind a port, after <see cref="Events.EventChannels.Take"/>. An event without a request is
    /// nothing: the first one after binding always is.
    /// </summary>
    /// <returns>False: not a port of this server.</returns>
    public bool Serve(uint port, IIoreqHandler handler)
    {
        if (!_vcpus.TryGetValue(port, out int vcpu)) return false;
        ServeVcpu(vcpu, handler);
        return true;
    }

    /// <summary>Answers every virtual CPU that asks. Once at the start, and for those who poll.</summary>
    /// <returns>How many asked.</returns>
    public int ServeAll(IIoreqHandler handler)
    {
        int served = 0;
        for (int vcpu = 0; vcpu < VcpuCount; vcpu++)
        {
            if (ServeVcpu(vcpu, handler)) served++;
        }
        return served;
    }

    /// <summary>Answers a request that its handler left open. Any thread.</summary>
    /// <param name="vcpu">Whose.</param>
    /// <param name="value">What the guest reads, as in <see cref="IIoreqHandler.Handle"/>.</param>
    /// <returns>False: nothing is open, or the server is disposed.</returns>
    public bool Complete(int vcpu, ulong value)
    {
        lock (_lock)
        {
            ref Answer answer = ref _answers[vcpu];
            if (_disposed || !answer.Pending) return false;
            answer.Pending = false;

            Abi.Ioreq* slot = Slot(vcpu);
            if (answer.WantsValue) Volatile.Write(ref slot->Data, value);

            // A full barrier, the partner of Xen's rmb after it reads the state: the data is there before the state says so.
            if (!Abi.Ioreq.TryMove(ref State(slot), IoreqState.InProcess, IoreqState.ResponseReady)) Lost++;
            _ = _events.Notify(answer.Port); // Fails only where the domain is gone.
            return true;
        }
    }

    private bool ServeVcpu(int vcpu, IIoreqHandler handler)
    {
        IoRequest request;
        bool known;
        lock (_lock)
        {
            // Two requests of one virtual CPU at a time are none of Xen's: the page was scribbled on.
            ref Answer answer = ref _answers[vcpu];
            if (_disposed || answer.Pending) return false;

            // A full barrier, the partner of Xen's before it sets READY: the request is read after its state.
            Abi.Ioreq* slot = Slot(vcpu);
            if (!Abi.Ioreq.TryMove(ref State(slot), IoreqState.Ready, IoreqState.InProcess)) return false;
            Abi.Ioreq copy = *slot;
            known = IoRequest.TryDecode(vcpu, copy, out request);
            answer.Pending = true;
            answer.WantsValue = copy is { IsRead: true, DataIsPointer: false };
            Requests++;
            if (!known) Malformed++;
        }

        ulong value = ulong.MaxValue;
        bool answered = true;
        try
        {
            if (known)
            {
                answered = handler.Handle(request, out ulong handled);
                value = handled; // Not before it has returned.
            }
        }
        finally
        {
            if (answered) Complete(vcpu, value);
        }
        return true;
    }

    private static ref byte State(Abi.Ioreq* slot) => ref ((byte*)slot)[Abi.Ioreq.StateOffset];
}

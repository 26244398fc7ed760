using XenMemoryProvider.Abi;
using XenModel.Domains;
using XenModel.Memory;
using IoreqSlot = XenMemoryProvider.Abi.Ioreq;

namespace XenModel.Ioreq;

public sealed unsafe partial class VcpuIo
{
    private uint _configAddress;

    /// <summary>Requests that device models answered.</summary>
    public long Answered { get; private set; }

    /// <summary>Tells device models to drop their mappings, if this CPU owes them that, and waits for all.</summary>
    internal void FinishInvalidate()
    {
        if (!_vcpu.InvalidatePending) return;
        lock (Domain.Hypervisor.Gate)
        {
            if (!_vcpu.InvalidatePending) return;
            _vcpu.InvalidatePending = false;
            var request = new IoreqSlot { Type = IoreqType.Invalidate, AccessSize = 4, Count = 0, Data = ulong.MaxValue };
            foreach (IoreqServer server in Domain.IoreqServers.Enabled) server.Send(_vcpu, request);
        }

        while (WaitForAnswer(out _))
        {
        }
    }

    // One request from start to end, with the value read (the bytes of its size; a register's worth of ones when nobody answered).
    private ulong Access(IoreqSlot request)
    {
        _vcpu.WaitRunnable();
        ulong mask = Mask((int)request.AccessSize);
        bool port = request.Type == IoreqType.Pio;
        ulong data = ulong.MaxValue;
        lock (Domain.Hypervisor.Gate)
        {
            Domain.ThrowIfStopped();
            if (port && request is { Addr: ConfigAddressPort, AccessSize: 4, IsRead: false }) _configAddress = (uint)request.Data;
            IoreqServer? server = Select(ref request);
            string? failure = server?.Send(_vcpu, request);
            if (failure is not null) Refuse(port, failure);
            if (server is null)
            {
                NobodyAnswers(request);
                return request.DataIsPointer ? 0 : mask;
            }
        }

        while (WaitForAnswer(out ulong answer)) data = answer;
        Answered++;
        FinishInvalidate();
        return request.IsRead && !request.DataIsPointer ? data & mask : 0;
    }

    private IoreqServer? Select(ref IoreqSlot request)
    {
        if (request.Type == IoreqType.Copy && !request.IsRead
            && Domain.P2m[request.Addr >> FramePool.PageShift].Type == P2mType.IoreqServer && Domain.IoreqServers.MemTypeServer is { } owner)
        {
            return owner;
        }

        return Domain.IoreqServers.Select(ref request, _configAddress);
    }

    // A port access that cannot be finished crashes the domain; a memory access faults.
    private void Refuse(bool port, string failure)
    {
        if (!port) throw new GuestFaultException(GeneralProtection, failure);
        Domain.Crash(failure);
        Domain.ThrowIfStopped();
    }

    // Reads give all ones; where they go to memory, ones are written there.
    private void NobodyAnswers(in IoreqSlot request)
    {
        if (!request.DataIsPointer || !request.IsRead) return;
        ulong bytes = (ulong)request.Count * request.AccessSize;
        ulong start = request.Descending ? request.Data - (bytes - request.AccessSize) : request.Data;
        Span<byte> ones = stackalloc byte[FramePool.PageSize];
        ones.Fill(0xff);
        Domain.Memory.TryWrite(start, ones[..(int)Math.Min(bytes, FramePool.PageSize)]);
    }

    // Waits for one request of this CPU. False: there is none. The order of states is Xen's: it may stand still or go
    // forward, and what goes back or is no state at all crashes the domain.
    private bool WaitForAnswer(out ulong data)
    {
        data = ulong.MaxValue;
        while (true)
        {
            _vcpu.WaitInXen();
            lock (Domain.Hypervisor.Gate)
            {
                Domain.ThrowIfStopped();
                if (FindPending() is not { } server) return false;
                IoreqServer.Channel channel = server.ChannelOf(_vcpu);
                IoreqSlot* slot = server.Slot(_vcpu);
                IoreqState state = slot is null ? IoreqState.None : IoreqSlot.StateOf(ref slot->Bits);
                if (state == IoreqState.None)
                {
                    // The device model died while it was asked: all ones.
                    channel.Pending = false;
                    return true;
                }

                if (state > IoreqState.ResponseReady || state < channel.Seen)
                {
                    channel.Pending = false;
                    Domain.Crash(state > IoreqState.ResponseReady
                        ? $"weird ioreq state {(int)state}"
                        : $"weird ioreq state transition {(int)channel.Seen} -> {(int)state}");
                    Domain.ThrowIfStopped();
                }

                channel.Seen = state;
                if (state == IoreqState.ResponseReady)
                {
                    // Reading the state acquired: the data is the device model's.
                    data = slot->Data;
                    IoreqSlot.TryMove(ref slot->Bits, IoreqState.ResponseReady, IoreqState.None);
                    channel.Pending = false;
                    return true;
                }

                // Xen looks afresh when the CPU has slept: only a step back that it happens to see in between is one.
                if (!Domain.Hypervisor.Options.StrictIoreqStates) channel.Seen = IoreqState.None;
                _vcpu.BlockInXen();
            }
        }
    }

    private IoreqServer? FindPending()
    {
        for (uint id = 0; id < DmOp.MaxIoreqServers; id++)
        {
            if (Domain.IoreqServers.Find(id) is { } server && server.ChannelOf(_vcpu).Pending) return server;
        }

        return null;
    }
}

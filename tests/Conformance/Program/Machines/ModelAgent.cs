using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using XenModel.Domains;

namespace Conformance.Machines;

/// <summary>The agent of a model: a thread is its virtual CPU.</summary>
internal sealed class ModelAgent(IPrivcmd privcmd, Domain domain) : Agent(privcmd, domain.Id)
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);

    private Task<AgentAnswer>? _order;

    public override bool IsAlive => !domain.IsDying && domain.Shutdown is null;

    public override bool IsDone => _order is null or { IsCompleted: true };

    public override void Start(AgentOrder order) =>
        _order = Task.Factory.StartNew(() => Do(order), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    public override AgentAnswer Finish()
    {
        if (!_order!.Wait(Deadline)) throw new TimeoutException("the agent's order does not end");
        return _order.Result;
    }

    private AgentAnswer Do(AgentOrder order)
    {
        Vcpu vcpu = domain.Vcpus[0];
        try
        {
            switch (order.Work)
            {
                case AgentWork.Hypercall:
                    var memory = new CallerMemory(Scratch, ScratchGfn << XenPage.Shift);
                    return new AgentAnswer((ulong)vcpu.Hypercall((Hypercall)order.Op, order.Arg0, order.Arg1, order.Arg2, memory));
                case AgentWork.In:
                    return new AgentAnswer(vcpu.Io.PortRead((ushort)order.Op, (int)order.Width));
                case AgentWork.Out:
                    vcpu.Io.PortWrite((ushort)order.Op, (int)order.Width, (uint)order.Arg0);
                    return default;
                case AgentWork.Load:
                    return new AgentAnswer(vcpu.Io.MmioRead(order.Op, (int)order.Width));
                default:
                    vcpu.Io.MmioWrite(order.Op, (int)order.Width, order.Arg0);
                    return default;
            }
        }
        catch (DomainStoppedException)
        {
            return new AgentAnswer(0, null, true);
        }
        catch (GuestFaultException fault)
        {
            return new AgentAnswer(0, fault.Vector);
        }
    }
}

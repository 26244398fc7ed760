namespace Conformance;

/// <summary>What an agent is to do.</summary>
internal enum AgentWork : ulong
{
    Hypercall = 0,
    In = 1,
    Out = 2,
    Load = 3,
    Store = 4,
}

/// <param name="Op">Hypercall number, port or address.</param>
/// <param name="Arg0">First argument, or the value to write.</param>
/// <param name="Arg1">Second argument.</param>
/// <param name="Arg2">Third argument.</param>
/// <param name="Width">Bytes of an access.</param>
internal readonly record struct AgentOrder(AgentWork Work, ulong Op, ulong Arg0 = 0, ulong Arg1 = 0, ulong Arg2 = 0, ulong Width = 4);

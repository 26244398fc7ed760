namespace Conformance;

/// <summary>What became of an order.</summary>
/// <param name="Value">Result of the hypercall or the bytes read.</param>
/// <param name="Fault">Vector of the exception that ended it, or null.</param>
/// <param name="IsStopped">The domain was crashed or destroyed before it ended.</param>
internal readonly record struct AgentAnswer(ulong Value, int? Fault = null, bool IsStopped = false)
{
    public static implicit operator Outcome(AgentAnswer answer) =>
        answer.IsStopped ? "the domain is gone" : answer.Fault is { } vector ? $"exception {vector}" : (Outcome)answer.Value;
}

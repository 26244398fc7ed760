using Fuzz.Engine;
using Fuzz.Targets.Registers;

namespace Fuzz.Targets;

/// <summary>What can be fuzzed, by name.</summary>
internal static class AllTargets
{
    public static IReadOnlyDictionary<string, Func<FuzzTarget>> ByName { get; } = new SortedDictionary<string, Func<FuzzTarget>>(StringComparer.Ordinal)
    {
        ["block"] = static () => new BlockTarget(),
        ["config"] = static () => new ConfigTarget(),
        ["frontend"] = static () => new FrontendTarget(),
        ["inflight"] = static () => new InflightTarget(),
        ["ioreq"] = static () => new IoreqTarget(),
        ["message"] = static () => new MessageTarget(),
        ["registers"] = static () => new RegisterTarget(),
        ["ring"] = static () => new RingTarget(),
        ["scribble"] = static () => new ScribbleTarget(),
        ["xenstore"] = static () => new XenstoreTarget(),
    };
}

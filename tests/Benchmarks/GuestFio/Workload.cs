namespace GuestFio;

/// <summary>One kind of load: fio's name for the pattern, the size of a request in bytes, how many are in flight.</summary>
internal sealed record Workload(string Pattern, int BlockSize, int Depth)
{
    public static IReadOnlyList<Workload> All { get; } =
    [
        new("randread", 4096, 1),
        new("randread", 4096, 32),
        new("randwrite", 4096, 32),
        new("read", 131072, 8),
    ];

    public override string ToString() => $"{Pattern} {BlockSize / 1024}k depth {Depth}";
}

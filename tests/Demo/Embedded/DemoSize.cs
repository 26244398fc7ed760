namespace Demo.Embedded;

/// <summary>How much the guests do. Requests are per queue.</summary>
internal sealed record DemoSize(int ForeignRequests, int RebootRequests, int GrantRequests, int ArmRequests)
{
    private const int MiB = 1 << 20;

    /// <summary>What ./demo.sh runs.</summary>
    public static readonly DemoSize Full = new(25_000, 5_000, 5_000, 5_000) { ForeignDisk = 64 * MiB, OtherDisks = 32 * MiB };

    /// <summary>Every step, briefly: for the tests.</summary>
    public static readonly DemoSize Quick = new(3_000, 500, 500, 500) { ForeignDisk = 16 * MiB, OtherDisks = 8 * MiB };

    public const int Queues = 2;

    /// <summary>Bytes of the disk of the guest whose memory is mapped whole.</summary>
    public required long ForeignDisk { get; init; }

    public required long OtherDisks { get; init; }
}

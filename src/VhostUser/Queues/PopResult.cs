namespace VhostUser.Queues;

/// <summary>What <see cref="Virtqueue.TryPop"/> found.</summary>
public enum PopResult
{
    /// <summary>Nothing is available.</summary>
    Empty,

    /// <summary>A chain was taken.</summary>
    Chain,

    /// <summary>The ring is broken, now or since earlier; <see cref="Virtqueue.BrokenCause"/> says why.</summary>
    Broken,
}

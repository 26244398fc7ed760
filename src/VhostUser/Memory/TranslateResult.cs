namespace VhostUser.Memory;

/// <summary>What came of translating a chain's buffers.</summary>
public enum TranslateResult
{
    /// <summary>All pieces are there.</summary>
    Ok,

    /// <summary>A translation is missing; it has been asked for.</summary>
    Missing,

    /// <summary>More translations than are kept at once would be needed: it could never be done.</summary>
    TooScattered,
}

namespace XenVhostMaster.Frontends;

/// <summary>What a back-end says of itself before a guest sees it.</summary>
/// <param name="Features">As GET_FEATURES answered.</param>
/// <param name="Queues">How many the device shall have.</param>
/// <param name="Config">The configuration space.</param>
internal readonly record struct BackendFacts(ulong Features, int Queues, byte[] Config);

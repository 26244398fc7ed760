namespace XenModel.Guests.Disks;

/// <summary>A disk in equal parts, one per lane, and what each part should hold.</summary>
internal sealed class DiskLanes
{
    private readonly DiskScript[] _scripts;
    private readonly long _blocksPerLane;

    public DiskLanes(ulong seed, int lanes, long blocks)
    {
        _blocksPerLane = blocks / lanes;
        if (_blocksPerLane < DiskScript.MaxCount) throw new GuestCheckException($"a disk of {blocks} blocks is too small for {lanes} queues");
        Ledger = new DiskLedger(seed, blocks);
        _scripts = [.. Enumerable.Range(0, lanes).Select(lane => new DiskScript(seed, lane, lane * _blocksPerLane, _blocksPerLane))];
    }

    public DiskLedger Ledger { get; }

    public int Count => _scripts.Length;

    public DiskScript Script(int lane) => _scripts[lane];

    /// <summary>As if each lane had done so many requests: what an earlier life of the guest did.</summary>
    public void Skip(int requestsPerLane)
    {
        foreach (DiskScript script in _scripts)
        {
            while (script.Index < requestsPerLane) Ledger.Apply(script.Next());
        }
    }

    /// <summary>Reads of all of a lane's blocks in turn.</summary>
    public IEnumerable<DiskOperation> Sweep(int lane)
    {
        long end = lane == Count - 1 ? Ledger.Blocks : (lane + 1) * _blocksPerLane;
        for (long block = lane * _blocksPerLane; block < end; block += DiskScript.MaxCount)
            yield return new DiskOperation(DiskOperationKind.Read, block, (int)Math.Min(DiskScript.MaxCount, end - block), 0, (uint)DiskPattern.Mix((ulong)block));
    }

    /// <summary>A lane's next requests.</summary>
    public IEnumerable<DiskOperation> Requests(int lane, int count)
    {
        for (int i = 0; i < count; i++) yield return _scripts[lane].Next();
    }
}

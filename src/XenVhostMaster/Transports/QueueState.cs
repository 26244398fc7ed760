namespace XenVhostMaster.Transports;

/// <summary>
/// One queue as the driver set it up. While it is enabled nothing of it changes, so the control plane may read it without
/// a lock.
/// </summary>
internal sealed class QueueState(int index, ushort maxSize)
{
    public int Index { get; } = index;

    /// <summary>Entries at most.</summary>
    public ushort MaxSize { get; } = maxSize;

    /// <summary>Entries.</summary>
    public ushort Size { get; set; } = maxSize;

    /// <summary>Guest address of the descriptor table, or of the packed ring.</summary>
    public ulong Descriptors { get; set; }

    /// <summary>Guest address of the available ring, or of the driver's event suppression.</summary>
    public ulong Driver { get; set; }

    /// <summary>Guest address of the used ring, or of the device's event suppression.</summary>
    public ulong Device { get; set; }

    public bool Enabled { get; set; }

    /// <summary>A reset of this queue is under way.</summary>
    public bool Resetting { get; set; }

    public void Reset()
    {
        Size = MaxSize;
        Descriptors = Driver = Device = 0;
        Enabled = Resetting = false;
    }
}

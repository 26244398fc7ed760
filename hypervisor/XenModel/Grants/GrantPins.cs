namespace XenModel.Grants;

/// <summary>How often a grant is in use, in Xen's four ways.</summary>
internal struct GrantPins
{
    // A count with its top bit set refuses more, so that it never wraps.
    private const int Refuse = 0x80;

    private int _deviceReads;
    private int _deviceWrites;
    private int _hostReads;
    private int _hostWrites;

    public readonly bool Any => (_deviceReads | _deviceWrites | _hostReads | _hostWrites) != 0;

    public readonly bool AnyWrite => (_deviceWrites | _hostWrites) != 0;

    public readonly bool NearOverflow => ((_deviceReads | _deviceWrites | _hostReads | _hostWrites) & Refuse) != 0;

    public void AddHost(bool readOnly, int count)
    {
        if (readOnly) _hostReads += count;
        else _hostWrites += count;
    }

    public void AddDevice(bool readOnly, int count)
    {
        if (readOnly) _deviceReads += count;
        else _deviceWrites += count;
    }
}

namespace VhostUser.Protocol;

/// <summary>VHOST_IOTLB_*.</summary>
internal enum IotlbType : byte
{
    Miss = 1,
    Update = 2,
    Invalidate = 3,
    AccessFail = 4,
}

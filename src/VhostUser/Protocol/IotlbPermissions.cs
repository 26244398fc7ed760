namespace VhostUser.Protocol;

/// <summary>VHOST_ACCESS_*.</summary>
[Flags]
internal enum IotlbPermissions : byte
{
    None = 0,
    Read = 1,
    Write = 2,
}

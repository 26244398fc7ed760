namespace VhostUser.Protocol;

/// <summary>Which way device state goes, seen from the back-end.</summary>
internal enum DeviceStateDirection : uint
{
    Save = 0,
    Load = 1,
}

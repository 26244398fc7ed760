namespace VhostUser.Protocol;

/// <summary>Messages from the back-end to the front-end, on the channel of SET_BACKEND_REQ_FD.</summary>
internal enum BackendRequest : uint
{
    IotlbMsg = 1,
    ConfigChangeMsg = 2,
    VringHostNotifierMsg = 3,
    VringCall = 4,
    VringErr = 5,
    SharedObjectAdd = 6,
    SharedObjectRemove = 7,
    SharedObjectLookup = 8,
    ShmemMap = 9,
    ShmemUnmap = 10,
}

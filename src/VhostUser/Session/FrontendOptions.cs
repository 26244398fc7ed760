using VhostUser.Protocol;

namespace VhostUser.Session;

/// <summary>How a front-end speaks to a back-end.</summary>
public sealed class FrontendOptions
{
    /// <summary>Protocol features to acknowledge where the back-end offers them.</summary>
    public ProtocolFeatures WantedProtocol { get; init; } =
        ProtocolFeatures.Mq | ProtocolFeatures.ReplyAck | ProtocolFeatures.BackendReq | ProtocolFeatures.Config
        | ProtocolFeatures.BackendSendFd | ProtocolFeatures.InflightShmFd | ProtocolFeatures.ResetDevice
        | ProtocolFeatures.ConfigureMemSlots | ProtocolFeatures.Status | ProtocolFeatures.DeviceState
        | ProtocolFeatures.LogShmFd | ProtocolFeatures.Mtu | ProtocolFeatures.Rarp;

    /// <summary>Time for a back-end to answer one request. GET_VRING_BASE waits for disks and gets <see cref="DrainTimeout"/>.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Time for a back-end to give back what is in flight.</summary>
    public TimeSpan DrainTimeout { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>Answers what the back-end asks on its own channel (BACKEND_REQ).</summary>
    public IBackendRequestHandler? Handler { get; init; }
}

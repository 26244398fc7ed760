using VhostUser.Protocol;

namespace VhostUser.Session;

/// <content>Which message is done where.</content>
public sealed partial class BackendSession
{
    private Task DispatchAsync(FrontendRequest request, string name) => request switch
    {
        FrontendRequest.GetFeatures => ReplyAsync(new UInt64Payload(OfferedFeatures)).AsTask(),
        FrontendRequest.SetFeatures => SetFeaturesAsync(_message.Read<UInt64Payload>(name).Value),
        FrontendRequest.SetOwner => Task.CompletedTask,
        FrontendRequest.ResetOwner => DisableAllAsync(),
        FrontendRequest.GetProtocolFeatures => ReplyAsync(new UInt64Payload((ulong)OfferedProtocolFeatures)).AsTask(),
        FrontendRequest.SetProtocolFeatures => SetProtocolFeatures((ProtocolFeatures)_message.Read<UInt64Payload>(name).Value),
        FrontendRequest.GetQueueNum => ReplyAsync(new UInt64Payload((ulong)_device.ReportedQueueCount)).AsTask(),
        FrontendRequest.ResetDevice => ResetDeviceAsync(),
        FrontendRequest.SetStatus => SetStatusAsync(_message.Read<UInt64Payload>(name).Value),
        FrontendRequest.GetStatus => ReplyAsync(new UInt64Payload(Status)).AsTask(),

        FrontendRequest.SetMemTable => SetMemTableAsync(name),
        FrontendRequest.GetMaxMemSlots => ReplyAsync(new UInt64Payload((ulong)_options.MaxMemorySlots)).AsTask(),
        FrontendRequest.AddMemReg => AddMemRegAsync(name),
        FrontendRequest.RemMemReg => RemMemRegAsync(name),
        FrontendRequest.IotlbMsg => IotlbMsgAsync(_message.Read<IotlbMessage>(name)),

        FrontendRequest.SetVringNum => SetVringNumAsync(_message.Read<VringState>(name)),
        FrontendRequest.SetVringAddr => SetVringAddrAsync(_message.Read<VringAddress>(name)),
        FrontendRequest.SetVringBase => SetVringBaseAsync(_message.Read<VringState>(name)),
        FrontendRequest.GetVringBase => GetVringBaseAsync(_message.Read<VringState>(name)),
        FrontendRequest.SetVringKick => SetVringKickAsync(ReadVringFd(name)),
        FrontendRequest.SetVringCall => SetVringCallAsync(ReadVringFd(name)),
        FrontendRequest.SetVringErr => SetVringErrAsync(ReadVringFd(name)),
        FrontendRequest.SetVringEnable => SetVringEnableAsync(_message.Read<VringState>(name)),
        FrontendRequest.SetVringEndian => SetVringEndian(_message.Read<VringState>(name)),
        FrontendRequest.VringKick => VringKickAsync(_message.Read<VringState>(name)),

        FrontendRequest.SetLogBase => SetLogBaseAsync(name),
        FrontendRequest.SetLogFd => SetLogFd(),
        FrontendRequest.GetInflightFd => GetInflightFdAsync(_message.Read<InflightDescription>(name)),
        FrontendRequest.SetInflightFd => SetInflightFd(_message.Read<InflightDescription>(name)),
        FrontendRequest.PostcopyAdvise => PostcopyAdviseAsync(),
        FrontendRequest.PostcopyListen => PostcopyListen(),
        FrontendRequest.PostcopyEnd => PostcopyEndAsync(),
        FrontendRequest.SetDeviceStateFd => SetDeviceStateFdAsync(_message.Read<DeviceStateTransfer>(name)),
        FrontendRequest.CheckDeviceState => CheckDeviceStateAsync(),

        FrontendRequest.GetConfig => GetConfigAsync(name),
        FrontendRequest.SetConfig => SetConfig(name),
        FrontendRequest.SetBackendReqFd => SetBackendReqFdAsync(),
        FrontendRequest.SendRarp => SendRarp(),
        FrontendRequest.NetSetMtu => NetSetMtu(_message.Read<UInt64Payload>(name).Value),
        FrontendRequest.GpuSetSocket => GpuSetSocket(),
        FrontendRequest.GetSharedObject => GetSharedObjectAsync(_message.Read<SharedObjectId>(name)),
        FrontendRequest.GetShmemConfig => GetShmemConfigAsync(),

        // Crypto sessions are a device's own business; the feature is never offered, so the shape check ends the session first.
        _ => throw new RequestRefusedException("this back-end does not do it"),
    };
}

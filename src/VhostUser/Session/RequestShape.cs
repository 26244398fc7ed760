using VhostUser.Protocol;

namespace VhostUser.Session;

/// <summary>What a message must look like before its contents are read.</summary>
/// <param name="MinPayload">Smallest payload in bytes.</param>
/// <param name="MaxPayload">Largest payload in bytes.</param>
/// <param name="MinFds">Fewest descriptors.</param>
/// <param name="MaxFds">Most descriptors.</param>
/// <param name="Needs">The protocol feature that makes the message legal.</param>
/// <param name="AlwaysReplies">Has a reply of its own, whether NEED_REPLY is set or not.</param>
internal readonly record struct RequestShape(
    int MinPayload, int MaxPayload, int MinFds, int MaxFds, ProtocolFeatures Needs, bool AlwaysReplies)
{
    /// <summary>Largest part of the configuration space one message reads or writes.</summary>
    public const int ConfigWindow = 4096;

    private static readonly RequestShape?[] Table = Build();

    /// <summary>Null for a message this library does not know.</summary>
    public static RequestShape? Of(FrontendRequest request) => (uint)request < Table.Length ? Table[(uint)request] : null;

    private static RequestShape?[] Build()
    {
        var table = new RequestShape?[(int)FrontendRequest.GetShmemConfig + 1];
        const int singleMin = 8 + MemoryTable.RegionSize;
        const int singleMax = 8 + MemoryTable.XenRegionSize;
        Add(FrontendRequest.GetFeatures, 0, reply: true);
        Add(FrontendRequest.SetFeatures, 8);
        Add(FrontendRequest.SetOwner, 0);
        Add(FrontendRequest.ResetOwner, 0);
        Add(FrontendRequest.SetMemTable, 8, VhostUserSocket.MaxPayload, 0, MemoryTable.MaxRegions);
        Add(FrontendRequest.SetLogBase, 8, 16, 0, 1);
        Add(FrontendRequest.SetLogFd, 0, 8, 1, 1);
        Add(FrontendRequest.SetVringNum, 8);
        Add(FrontendRequest.SetVringAddr, 40);
        Add(FrontendRequest.SetVringBase, 8);
        Add(FrontendRequest.GetVringBase, 8, reply: true);
        Add(FrontendRequest.SetVringKick, 8, 8, 0, 1);
        Add(FrontendRequest.SetVringCall, 8, 8, 0, 1);
        Add(FrontendRequest.SetVringErr, 8, 8, 0, 1);
        Add(FrontendRequest.GetProtocolFeatures, 0, reply: true);
        Add(FrontendRequest.SetProtocolFeatures, 8);
        Add(FrontendRequest.GetQueueNum, 0, needs: ProtocolFeatures.Mq, reply: true);
        Add(FrontendRequest.SetVringEnable, 8);
        Add(FrontendRequest.SendRarp, 8, needs: ProtocolFeatures.Rarp);
        Add(FrontendRequest.NetSetMtu, 8, needs: ProtocolFeatures.Mtu);
        Add(FrontendRequest.SetBackendReqFd, 0, 0, 1, 1, ProtocolFeatures.BackendReq);
        Add(FrontendRequest.IotlbMsg, IotlbMessage.PackedSize, 32);
        Add(FrontendRequest.SetVringEndian, 8);
        Add(FrontendRequest.GetConfig, 12, 12 + ConfigWindow, needs: ProtocolFeatures.Config, reply: true);
        Add(FrontendRequest.SetConfig, 12, 12 + ConfigWindow, needs: ProtocolFeatures.Config);
        Add(FrontendRequest.CreateCryptoSession, 0, 8192, needs: ProtocolFeatures.CryptoSession, reply: true);
        Add(FrontendRequest.CloseCryptoSession, 8, needs: ProtocolFeatures.CryptoSession);
        Add(FrontendRequest.PostcopyAdvise, 0, needs: ProtocolFeatures.PageFault, reply: true);
        Add(FrontendRequest.PostcopyListen, 0, needs: ProtocolFeatures.PageFault);
        Add(FrontendRequest.PostcopyEnd, 0, needs: ProtocolFeatures.PageFault, reply: true);
        Add(FrontendRequest.GetInflightFd, InflightDescription.PackedSize, 24, needs: ProtocolFeatures.InflightShmFd, reply: true);
        Add(FrontendRequest.SetInflightFd, InflightDescription.PackedSize, 24, 1, 1, ProtocolFeatures.InflightShmFd);
        Add(FrontendRequest.GpuSetSocket, 0, 0, 1, 1);
        Add(FrontendRequest.ResetDevice, 0, needs: ProtocolFeatures.ResetDevice);
        Add(FrontendRequest.VringKick, 8, needs: ProtocolFeatures.InbandNotifications);
        Add(FrontendRequest.GetMaxMemSlots, 0, needs: ProtocolFeatures.ConfigureMemSlots, reply: true);

        // Eight bytes without a descriptor are the end of a series in post-copy.
        Add(FrontendRequest.AddMemReg, 8, singleMax, 0, 1, ProtocolFeatures.ConfigureMemSlots);
        Add(FrontendRequest.RemMemReg, singleMin, singleMax, 0, 1, ProtocolFeatures.ConfigureMemSlots);
        Add(FrontendRequest.SetStatus, 8, needs: ProtocolFeatures.Status);
        Add(FrontendRequest.GetStatus, 0, needs: ProtocolFeatures.Status, reply: true);
        Add(FrontendRequest.GetSharedObject, 16, needs: ProtocolFeatures.SharedObject, reply: true);
        Add(FrontendRequest.SetDeviceStateFd, 8, 8, 1, 1, ProtocolFeatures.DeviceState, reply: true);
        Add(FrontendRequest.CheckDeviceState, 0, needs: ProtocolFeatures.DeviceState, reply: true);
        Add(FrontendRequest.GetShmemConfig, 0, needs: ProtocolFeatures.ShmemMap, reply: true);
        return table;

        void Add(
            FrontendRequest request,
            int minPayload,
            int maxPayload = -1,
            int minFds = 0,
            int maxFds = 0,
            ProtocolFeatures needs = ProtocolFeatures.None,
            bool reply = false)
            => table[(int)request] = new RequestShape(minPayload, maxPayload < 0 ? minPayload : maxPayload, minFds, maxFds, needs, reply);
    }
}

using System.Buffers.Binary;
using VhostUser.Protocol;
using VhostUser.Session;
using XenVhostMaster.Transports;

namespace XenVhostMaster.Frontends;

/// <summary>How many queues a device shall have, which vhost-user leaves to the front-end.</summary>
internal static class QueueRules
{
    /// <summary>Sizes of configuration spaces to try: whole, then those of real devices.</summary>
    public static readonly int[] ConfigSizes = [256, 128, 96, 64, 60, 56, 48, 44, 40, 36, 32, 28, 24, 20, 16, 12, 8, 4];

    /// <exception cref="FrontendException">The user wants more than the back-end has.</exception>
    public static int Count(BackendOptions options, FrontendSession session, ReadOnlySpan<byte> config)
    {
        bool counted = session.Has(ProtocolFeatures.Mq);
        int most = Math.Min(counted ? session.QueueCount : int.MaxValue, VirtioDeviceModel.MaxQueues);
        if (options.Kind.Id == DeviceKind.NetId)
            return NetQueues(options, session, config);

        if (options.Queues is { } wanted)
            return wanted <= most ? wanted : throw new FrontendException($"{wanted} queues are asked for and the back-end has {most}");

        return counted ? most : options.Kind.DefaultQueues;
    }

    /// <summary>
    /// A network device has pairs, and after the last pair its control queue. Back-ends disagree whether GET_QUEUE_NUM counts
    /// pairs or queues, so the pairs come from the configuration space.
    /// </summary>
    private static int NetQueues(BackendOptions options, FrontendSession session, ReadOnlySpan<byte> config)
    {
        const ulong controlQueue = 1UL << 17;
        const ulong multiQueue = 1UL << 22;
        const int maxPairsOffset = 8;

        int pairs = 1;
        if ((session.OfferedFeatures & multiQueue) != 0 && config.Length >= maxPairsOffset + 2)
            pairs = Math.Clamp((int)BinaryPrimitives.ReadUInt16LittleEndian(config[maxPairsOffset..]), 1, VirtioDeviceModel.MaxQueues / 2 - 1);

        int queues = 2 * pairs + ((session.OfferedFeatures & controlQueue) != 0 ? 1 : 0);
        return options.Queues is not { } wanted || wanted == queues
            ? queues
            : wanted < queues ? wanted : throw new FrontendException($"{wanted} queues are asked for and the back-end has {queues}");
    }
}

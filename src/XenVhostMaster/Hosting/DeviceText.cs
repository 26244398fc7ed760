using System.Globalization;
using System.Numerics;
using XenVhostMaster.Domains;
using XenVhostMaster.Frontends;
using XenVhostMaster.Transports;

namespace XenVhostMaster.Hosting;

/// <summary>A device in one word: "block,socket=/run/disk.sock,slot=4".</summary>
internal static class DeviceText
{
    public const string Help = "TYPE,socket=PATH[,slot=N][,queues=N][,queue-size=N][,transport=pci|mmio][,base=ADDRESS,irq=N][,grants=on|off]";

    /// <exception cref="OptionsException">It makes no sense.</exception>
    public static DeviceOptions Parse(string text)
    {
        string[] words = text.Split(',');
        if (!DeviceKind.TryParse(words[0], out DeviceKind kind))
            throw new OptionsException($"'{words[0]}' is no device type: a name such as block, net or vsock, or a virtio device id up to {DeviceKind.LastId}");

        string? socket = null;
        int? queues = null, slot = null;
        ushort queueSize = 256;
        bool grants = false;
        ulong? start = null;
        uint? irq = null;
        TransportKind transport = TransportKind.Pci;
        foreach (string word in words.AsSpan(1))
        {
            int equals = word.IndexOf('=', StringComparison.Ordinal);
            if (equals <= 0 || equals == word.Length - 1)
                throw new OptionsException($"'{word}' in '{text}' is not KEY=VALUE");

            string value = word[(equals + 1)..];
            switch (word[..equals])
            {
                case "socket":
                    socket = value;
                    break;
                case "queues":
                    queues = (int)Number(word, value, 1, VirtioDeviceModel.MaxQueues);
                    break;
                case "queue-size":
                    queueSize = (ushort)Number(word, value, 2, 32768);
                    break;
                case "slot":
                    slot = (int)Number(word, value, 1, 31);
                    break;
                case "transport":
                    transport = value switch
                    {
                        "pci" => TransportKind.Pci,
                        "mmio" => TransportKind.Mmio,
                        _ => throw new OptionsException($"'{value}' is no transport: pci or mmio"),
                    };
                    break;
                case "base":
                    start = Number(word, value, 0x1000, (1UL << 52) - 0x1000);
                    break;
                case "irq":
                    irq = (uint)Number(word, value, 1, 1023);
                    break;
                case "grants":
                    grants = value switch
                    {
                        "on" => true,
                        "off" => false,
                        _ => throw new OptionsException($"'{word}': on or off"),
                    };
                    break;
                default:
                    throw new OptionsException($"'{word[..equals]}' in '{text}' is no option of a device: {Help}");
            }
        }

        if (socket is null)
            throw new OptionsException($"'{text}' needs socket=PATH, where its back-end listens");

        if (!BitOperations.IsPow2((uint)queueSize))
            throw new OptionsException($"queue-size={queueSize} is no power of two");

        if (transport == TransportKind.Mmio && (start is null || irq is null || (start & 0x1ff) != 0))
            throw new OptionsException("transport=mmio needs base=ADDRESS, a multiple of 0x200, and irq=N");

        if (transport == TransportKind.Pci && (start ?? irq) is not null)
            throw new OptionsException("base= and irq= belong to transport=mmio");

        return new DeviceOptions
        {
            Backend = new BackendOptions { Kind = kind, Socket = socket, Queues = queues, QueueSize = queueSize, Grants = grants },
            Transport = transport,
            Slot = slot,
            MmioBase = start,
            Irq = irq,
        };
    }

    private static ulong Number(string word, string text, ulong least, ulong most)
    {
        bool parsed = text.StartsWith("0x", StringComparison.OrdinalIgnoreCase)
            ? ulong.TryParse(text.AsSpan(2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ulong value)
            : ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out value);
        return parsed && value >= least && value <= most ? value : throw new OptionsException($"'{word}': a number from {least} to {most}");
    }
}

using VhostUser.Protocol;
using VhostXen.Linux;
using static VhostXen.Linux.LibC;

namespace Fuzz.Targets;

/// <content>What it says.</content>
internal sealed partial class HostileBackend
{
    private const uint ReplyFlags = (uint)(MessageFlags.Version1 | MessageFlags.Reply);

    /// <summary>Asks something on the channel that the front-end opened, rightly or wrongly.</summary>
    public void UseChannel()
    {
        if (_channel is null || !input.OneIn(3))
            return;

        var request = (BackendRequest)input.Below(12);
        uint flags = (uint)MessageFlags.Version1 | (input.Flip() ? (uint)MessageFlags.NeedReply : 0);
        int size = request switch
        {
            BackendRequest.ConfigChangeMsg => 0,
            BackendRequest.IotlbMsg => 32,
            BackendRequest.VringCall or BackendRequest.VringErr => 8,
            _ => 40,
        };
        byte[] payload = new byte[size];
        if (input.Flip())
            input.Fill(payload);

        FileDescriptor[] fds = input.OneIn(3) || request == BackendRequest.ShmemMap ? [files.Any(input, [])] : [];
        byte[] message = input.Below(12) switch
        {
            11 => input.Take(1 + input.Below(40)),
            10 => HostileFrontend.Message(input.UInt32(), input.UInt32(), input.Number32((uint)size), payload),
            9 => HostileFrontend.Message((uint)request, flags, (uint)size, payload)[..^Math.Min(3, size)],
            _ => HostileFrontend.Message((uint)request, flags, (uint)size, payload),
        };
        int[] numbers = [.. fds.Select(static fd => fd.Value)];
        FdSocket.SendWithFds(_channel, message, numbers, MSG_DONTWAIT);
        if (input.OneIn(6))
            _ = shutdown(_channel.Value, SHUT_RDWR);

        // Its answer, if there is one already.
        FdSocket.ReceiveWithFds(_channel, _buffer, _arrived, SCM_MAX_FD, MSG_DONTWAIT, out _);
        _arrived.ForEach(static fd => fd.Dispose());
        _arrived.Clear();
    }

    private void Answer(MessageHeader header, byte[] asked)
    {
        var request = (FrontendRequest)header.Request;
        (byte[]? right, FileDescriptor[] fds) = Right(header, asked);
        if (right is null)
        {
            if (input.OneIn(40))
            {
                _sentMore = true;
                Send(HostileFrontend.Message(header.Request, ReplyFlags, 8, new byte[8]));
            }

            return;
        }

        int lie = input.Below(64);
        if (lie is < 24 or >= 40)
        {
            Send(HostileFrontend.Message(header.Request, ReplyFlags, (uint)right.Length, right), fds);
            return;
        }

        Lie(lie, request, right, fds, header.NeedsReply);
    }

    private void Lie(int lie, FrontendRequest request, byte[] right, FileDescriptor[] fds, bool isStatus)
    {
        byte[] whole = HostileFrontend.Message((uint)request, ReplyFlags, (uint)right.Length, right);
        switch (lie)
        {
            case < 28 when right.Length == 8:
                ulong number = input.Number(BitConverter.ToUInt64(right));
                if (isStatus && number != 0)
                    Impossible = "a status that says no";

                Send(HostileFrontend.Message((uint)request, ReplyFlags, 8, BitConverter.GetBytes(number)), fds);
                break;
            case < 28:
                byte[] other = [.. right];
                for (int i = 1 + input.Below(4); i > 0 && other.Length != 0; i--)
                    other[input.Below(other.Length)] = input.Byte();

                Send(HostileFrontend.Message((uint)request, ReplyFlags, (uint)other.Length, other), fds);
                break;
            case 28:
                byte[] resized = new byte[input.Below(right.Length + 24)];
                right.AsSpan(0, Math.Min(right.Length, resized.Length)).CopyTo(resized);
                if (resized.Length != right.Length && right.Length == 8 && request is not (FrontendRequest.SetLogBase or FrontendRequest.GetFeatures))
                    Impossible = "a number of another size";

                Send(HostileFrontend.Message((uint)request, ReplyFlags, (uint)resized.Length, resized), fds);
                break;
            case 29:
                uint flags = input.Number32(ReplyFlags);
                if ((flags & 3) != 1 || (flags & (uint)MessageFlags.Reply) == 0)
                    Impossible = "no reply";

                Send(HostileFrontend.Message((uint)request, flags, (uint)right.Length, right), fds);
                break;
            case 30:
                uint name = input.Number32((uint)request);
                if (name != (uint)request)
                    Impossible = "a reply to something else";

                Send(HostileFrontend.Message(name, ReplyFlags, (uint)right.Length, right), fds);
                break;
            case 31 when input.OneIn(4):
                uint size = input.Number32((uint)right.Length);
                if (size > right.Length)
                    Impossible = "a reply that ends early";

                _sentMore |= size < right.Length;
                Send(HostileFrontend.Message((uint)request, ReplyFlags, size, right), fds);
                break;
            case 32:
                _sentMore = true;
                Send(whole, fds);
                Send(input.Flip() ? whole : input.Take(1 + input.Below(40)), input.Flip() ? [files.Any(input, [])] : []);
                break;
            case 33 or 34:
                // Descriptors that nobody asked for.
                Send(whole, [.. fds, .. Enumerable.Range(0, 1 + input.Below(4)).Select(_ => files.Any(input, []))]);
                break;
            case 35:
                Impossible = "a reply that ends early";
                Send(whole.AsSpan(0, input.Below(whole.Length)), input.Flip() ? fds : []);
                HangUp();
                break;
            case 36:
                Impossible = "no reply at all";
                HangUp();
                break;
            case 37 when input.OneIn(4):
                Impossible = "no reply at all";
                break;
            case 38:
                // In pieces, which is fine; its descriptors with the first of them.
                int cut = 1 + input.Below(whole.Length - 1);
                Send(whole.AsSpan(0, cut), fds);
                Send(whole.AsSpan(cut), input.OneIn(3) ? [files.Any(input, [])] : []);
                break;
            default:
                Send(whole, fds.Length != 0 && input.Flip() ? [files.Any(input, [])] : []);
                break;
        }
    }

    private void HangUp()
    {
        _ = shutdown(socket.Value, input.Flip() ? SHUT_RDWR : SHUT_WR);
        seen.Saw("hung up on");
    }

    /// <summary>What a good back-end answers; null for nothing.</summary>
    private (byte[]? Payload, FileDescriptor[] Fds) Right(MessageHeader header, byte[] asked)
    {
        switch ((FrontendRequest)header.Request)
        {
            case FrontendRequest.GetFeatures:
                ulong some = VirtioFeatures.Version1 | VirtioFeatures.EventIdx | VirtioFeatures.IndirectDesc;
                return (BitConverter.GetBytes(some | (input.OneIn(12) ? 0 : VirtioFeatures.ProtocolFeatures)), []);
            case FrontendRequest.GetProtocolFeatures:
                return (BitConverter.GetBytes(input.OneIn(6) ? input.UInt64() : ulong.MaxValue), []);
            case FrontendRequest.GetQueueNum or FrontendRequest.GetMaxMemSlots or FrontendRequest.GetStatus:
                return (BitConverter.GetBytes(4UL), []);
            case FrontendRequest.GetVringBase:
                return ([.. asked.AsSpan(0, 4), 7, 0, 0, 0], []);
            case FrontendRequest.GetConfig:
                return (asked, []);
            case FrontendRequest.SetLogBase:
                return (new byte[8], []);
            case FrontendRequest.GetInflightFd:
                byte[] region = new byte[24];
                asked.AsSpan(16, 4).CopyTo(region.AsSpan(16));
                BitConverter.TryWriteBytes(region, 0x1000UL);
                return (region, [files.File(0x1000)]);
            case FrontendRequest.SetDeviceStateFd when input.OneIn(3):
                return (new byte[8], [files.Any(input, [])]);
            case FrontendRequest.SetDeviceStateFd:
                return (BitConverter.GetBytes(DeviceStateTransfer.NoFdReturned), []);
            case FrontendRequest.CheckDeviceState:
                return (new byte[8], []);
            case FrontendRequest.GetShmemConfig:
                return (new byte[SharedMemoryConfig.WireSize], []);
            default:
                return header.NeedsReply ? (new byte[8], []) : (null, []);
        }
    }
}

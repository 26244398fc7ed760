using TestKit;
using VhostUser.Protocol;
using VhostXen.Linux;
using static VhostXen.Linux.LibC;

namespace Fuzz.Targets;

/// <content>What goes on beside the rings: logs, in-flight regions, configuration, channels, migration.</content>
internal sealed partial class FrontendStory
{
    private void Log()
    {
        if (_input.OneIn(4))
        {
            Send(FrontendRequest.SetLogFd, [], _files.Event());
            return;
        }

        // One bit a page: 0x1000 bytes reach past 4 GiB only with the larger size.
        ulong size = _input.Pick(0x20010UL, 0x1000UL);
        FileDescriptor file = _files.File(_input.Number(size));
        Send(FrontendRequest.SetLogBase, new LogDescription(_input.Number(size), _input.Number(0)), file);
    }

    private void Inflight()
    {
        ushort queues = _input.Number16(2);
        ushort size = _input.Number16(_input.Pick<ushort>(16, 64, 256));
        if (_input.Flip())
        {
            Send(FrontendRequest.GetInflightFd, new InflightDescription(0, 0, queues, size));
            return;
        }

        // What the back-end made, or a file of our own with anything in it.
        FileDescriptor file = _frontend.Kept.Count != 0 && !_input.OneIn(3) ? _frontend.Kept[^1] : Scribbled();
        Send(FrontendRequest.SetInflightFd, new InflightDescription(_input.Number(0x10000), _input.Number(0), queues, size), file);
    }

    private FileDescriptor Scribbled()
    {
        FileDescriptor file = _files.File(_input.Number(0x10000));
        byte[] bytes = new byte[4096];
        if (_input.Flip())
            _input.Random().NextBytes(bytes);

        bytes[8] = 1;
        bytes[9] = 0;
        if (FileIO.Stat(file).stx_size >= 4096)
            WriteAt(file, bytes);

        return file;

        static unsafe void WriteAt(FileDescriptor file, byte[] bytes)
        {
            fixed (byte* first = bytes)
            {
                var vector = new iovec { iov_base = first, iov_len = (nuint)bytes.Length };
                FileIO.WriteV(file.Value, &vector, 1, 0);
            }
        }
    }

    private void Config()
    {
        uint offset = _input.Number32(_input.Byte());
        uint size = _input.Number32(_input.Pick<uint>(1, 60, 8, 256));
        byte[] payload = new byte[ConfigDescription.WireSize + (int)Math.Min(size, 300)];
        _input.Fill(payload.AsSpan(ConfigDescription.WireSize));
        BitConverter.TryWriteBytes(payload, offset);
        BitConverter.TryWriteBytes(payload.AsSpan(4), size);
        BitConverter.TryWriteBytes(payload.AsSpan(8), _input.Number32(0));
        if (_input.OneIn(6))
            _device.ChangeConfig();

        Send(_input.Flip() ? FrontendRequest.SetConfig : FrontendRequest.GetConfig, payload);
    }

    private void OpenChannel() => Send(FrontendRequest.SetBackendReqFd, [], _files.Channel());

    private void UseChannels()
    {
        byte[] buffer = new byte[256];
        foreach (FileDescriptor channel in _files.Channels)
        {
            switch (_input.Below(4))
            {
                case 0:
                    var fds = new List<FileDescriptor>();
                    FdSocket.ReceiveWithFds(channel, buffer, fds, SCM_MAX_FD, MSG_DONTWAIT, out _);
                    fds.ForEach(static fd => fd.Dispose());
                    break;
                case 1:
                    byte[] reply = HostileFrontend.Message((uint)_input.Below(11), _input.Number32(5), 8, _input.Take(8));
                    FdSocket.SendWithFds(channel, reply, [], MSG_DONTWAIT);
                    break;
                case 2:
                    FdSocket.SendWithFds(channel, _input.Take(1 + _input.Below(32)), [_memory.File.Value], MSG_DONTWAIT);
                    break;
                default:
                    _ = shutdown(channel.Value, SHUT_RDWR);
                    break;
            }
        }
    }

    private void Translate()
    {
        MemoryRegion region = _memory.Regions[_input.Below(3)];
        IotlbType type = _input.OneIn(6) ? (IotlbType)_input.Byte() : _input.Pick(IotlbType.Update, IotlbType.Update, IotlbType.Invalidate);
        FrontendAddress target = (_protocol & ProtocolFeatures.GpaAddresses) != 0 ? new FrontendAddress(region.GuestAddress.Value) : region.UserAddress;
        var permissions = (IotlbPermissions)(_input.OneIn(6) ? _input.Byte() : 3);
        if (!_input.OneIn(4))
        {
            Send(FrontendRequest.IotlbMsg, new IotlbMessage(
                _input.Number(region.GuestAddress.Value), _input.Number(region.Size), new FrontendAddress(_input.Number(target.Value)), permissions, type));
            return;
        }

        // A page at a time, or many tiny ones.
        ulong step = _input.Pick<ulong>(4096, 16, 1, 513);
        for (uint i = 0; i < 1 + _input.Byte() && i * step < region.Size && !_frontend.IsGone; i++)
        {
            _frontend.Send((uint)FrontendRequest.IotlbMsg, RawFrontend.Bytes(new IotlbMessage(
                region.GuestAddress.Value + (i * step), step, new FrontendAddress(target.Value + (i * step)), permissions, type)), false);
        }
    }

    private void DeviceState()
    {
        if (_input.Flip())
        {
            uint direction = _input.Number32((uint)_input.Below(2));
            Send(FrontendRequest.SetDeviceStateFd, new DeviceStateTransfer((DeviceStateDirection)direction, _input.Number32(0)), _files.Pipe(read: direction == 1));
        }
        else
        {
            // It waits for the pipe, so the pipe had better do something.
            foreach (FileDescriptor pipe in _files.Pipes)
                pipe.Dispose();

            _files.Pipes.Clear();
            Send(FrontendRequest.CheckDeviceState, []);
        }
    }

    private unsafe void UsePipes()
    {
        byte* buffer = stackalloc byte[4096];
        foreach (FileDescriptor pipe in _files.Pipes)
        {
            if (_input.Flip())
                FileIO.Read(pipe.Value, buffer, 4096);
            else
                FileIO.Write(pipe.Value, buffer, (nuint)_input.UInt16() % 4096);
        }
    }

    private void PostCopy()
    {
        if ((_protocol & ProtocolFeatures.PageFault) == 0)
            return;

        switch (_input.Below(5))
        {
            case 0: Send(FrontendRequest.PostcopyAdvise, []); break;
            case 1: Send(FrontendRequest.PostcopyListen, []); break;
            case 2: Send(FrontendRequest.PostcopyEnd, []); break;
            case 3:
                // Listen before there is memory, then the table, then the word that its addresses are known.
                Send(FrontendRequest.PostcopyAdvise, []);
                Send(FrontendRequest.PostcopyListen, []);
                ShareMemory();
                Send(FrontendRequest.SetMemTable, new UInt64Payload(_input.Number(0)));
                break;
            default: Send(FrontendRequest.SetMemTable, new UInt64Payload(0)); break;
        }
    }

    private void Status()
    {
        switch (_input.Below(6))
        {
            case 0: Send(FrontendRequest.SetStatus, new UInt64Payload(_input.Number(15))); break;
            case 1: Send(FrontendRequest.GetStatus, []); break;
            case 2: Send(FrontendRequest.ResetDevice, []); break;
            case 3: Send(FrontendRequest.GetShmemConfig, []); break;
            case 4: Send(FrontendRequest.GetSharedObject, _input.Take(16)); break;
            default: Send(FrontendRequest.SetStatus, new UInt64Payload(0)); break;
        }
    }
}

using Fuzz.Engine;
using Fuzz.Oracles;
using TestKit;
using VhostUser.Protocol;
using VhostUser.Session;
using VhostXen.Linux;
using static VhostXen.Linux.LibC;

namespace Fuzz.Targets;

/// <summary>One session's story, step by step out of an input. The tame choice is always what QEMU would do.</summary>
internal sealed partial class FrontendStory
{
    private const int MostSteps = 80;
    private const ulong RingFeatures =
        VirtioFeatures.EventIdx | VirtioFeatures.IndirectDesc | VirtioFeatures.InOrder | VirtioFeatures.RingPacked | VirtioFeatures.LogAll;

    private readonly FuzzInput _input;
    private readonly HostileFrontend _frontend;
    private readonly TestMemory _memory;
    private readonly SentFiles _files;
    private readonly SessionOptions _options;
    private readonly CheckedDevice _device;
    private readonly DriverRing?[] _rings = new DriverRing?[2];
    private ulong _features;
    private ProtocolFeatures _protocol;

    public FrontendStory(
        FuzzInput input, HostileFrontend frontend, TestMemory memory, SentFiles files, SessionOptions options, CheckedDevice device)
    {
        _input = input;
        _frontend = frontend;
        _memory = memory;
        _files = files;
        _options = options;
        _device = device;
    }

    public void Tell()
    {
        if (!_input.OneIn(8))
            Negotiate();

        if (!_input.OneIn(8))
            ShareMemory();

        for (int step = 0; step < MostSteps && !_input.IsAtEnd && !_frontend.IsGone; step++)
            Step(_input.Below(28));

        // A last look, so that what was sent last has been seen; then often a cut in the middle of something.
        if (!_input.OneIn(4))
            _frontend.CatchUp();

        if (_input.OneIn(4))
            _frontend.SendRaw(_input.Take(1 + _input.Below(11)), _input.Flip() ? [_memory.File] : []);
    }

    private void Step(int step)
    {
        switch (step)
        {
            case 0: Negotiate(); break;
            case 1: ShareMemory(); break;
            case 2: ChangeMemory(); break;
            case 3 or 4: SetUpRing(); break;
            case 5: RingMessage(); break;
            case 6: StopRing(); break;
            case 7 or 8 or 9: Drive(); break;
            case 10: Scribble(); break;
            case 11: Log(); break;
            case 12: Inflight(); break;
            case 13: Config(); break;
            case 14: OpenChannel(); break;
            case 15: UseChannels(); break;
            case 16: Translate(); break;
            case 17: DeviceState(); break;
            case 18: UsePipes(); break;
            case 19: PostCopy(); break;
            case 20: Status(); break;
            case 21: Anything(); break;
            case 22: BrokenHeader(); break;
            case 23: _frontend.SendRaw(_input.Take(1 + _input.Below(64)), _input.OneIn(4) ? [_memory.File] : []); break;
            case 24: _frontend.CatchUp(); break;
            case 25: _frontend.Receive(); break;
            case 26: CutFiles(); break;
            default: FillEvents(); break;
        }
    }

    private void Send<T>(FrontendRequest request, T payload, params FileDescriptor[] fds)
        where T : struct, IPayload<T>
        => Send(request, RawFrontend.Bytes(payload), fds);

    /// <summary>Sends, now and then with a byte changed, with bytes too many or too few, or with another descriptor.</summary>
    private void Send(FrontendRequest request, byte[] payload, params FileDescriptor[] fds)
    {
        bool needReply = _input.Flip();
        switch (_input.Below(24))
        {
            case 23 when payload.Length != 0:
                payload[_input.Below(payload.Length)] = _input.Byte();
                break;
            case 22:
                Array.Resize(ref payload, _input.Below(payload.Length + 24));
                break;
            case 21:
                fds = fds.Length == 0 ? [AnyFile(request)] : fds[1..];
                break;
            case 20 when fds.Length != 0:
                fds = [AnyFile(request), .. fds[1..]];
                break;
        }

        _frontend.Send((uint)request, payload, needReply, fds);
    }

    private void Negotiate()
    {
        ProtocolFeatures all = ProtocolFeatures.Mq | ProtocolFeatures.LogShmFd | ProtocolFeatures.ReplyAck | ProtocolFeatures.BackendReq
            | ProtocolFeatures.Config | ProtocolFeatures.BackendSendFd | ProtocolFeatures.InflightShmFd | ProtocolFeatures.ResetDevice
            | ProtocolFeatures.ConfigureMemSlots | ProtocolFeatures.Status | ProtocolFeatures.SharedObject | ProtocolFeatures.DeviceState
            | ProtocolFeatures.GetVringBaseInflight | ProtocolFeatures.ShmemMap
            | (_input.OneIn(3) ? ProtocolFeatures.GpaAddresses : 0)
            | (_options.InbandNotifications ? ProtocolFeatures.InbandNotifications : 0)
            | (_options.Postcopy && UserFaults.IsPermitted ? ProtocolFeatures.PageFault : 0);
        _protocol = (ProtocolFeatures)(_input.OneIn(8) ? _input.Number((ulong)all) : (ulong)all);
        Send(FrontendRequest.SetProtocolFeatures, new UInt64Payload((ulong)_protocol));
        _features = VirtioFeatures.Version1 | VirtioFeatures.ProtocolFeatures | (_input.UInt64() & RingFeatures)
            | (_options.AccessPlatform && !_input.OneIn(3) ? VirtioFeatures.AccessPlatform : 0);
        if (_input.OneIn(12))
            _features = _input.Number(_features);

        Send(FrontendRequest.SetFeatures, new UInt64Payload(_features));
        if (_input.OneIn(6))
            Send(_input.Pick(FrontendRequest.SetOwner, FrontendRequest.ResetOwner, FrontendRequest.GetProtocolFeatures, FrontendRequest.GetQueueNum, FrontendRequest.GetMaxMemSlots), []);
    }

    private MemoryRegion Region(int index)
    {
        MemoryRegion region = _memory.Regions[index % _memory.Regions.Count];
        if (!_input.OneIn(6))
            return region;

        return region with
        {
            GuestAddress = new GuestAddress(_input.Number(region.GuestAddress.Value)),
            Size = _input.Number(region.Size),
            UserAddress = new FrontendAddress(_input.Number(region.UserAddress.Value)),
            MmapOffset = _input.Number(region.MmapOffset),
            XenFlags = (XenMmapFlags)_input.UInt32(),
            XenDomain = _input.Byte(),
        };
    }

    private void ShareMemory()
    {
        int count = _input.OneIn(8) ? _input.Below(12) : _memory.Regions.Count;
        var regions = new MemoryRegion[count];
        var files = new FileDescriptor[count];
        for (int i = 0; i < count; i++)
        {
            regions[i] = Region(i);
            files[i] = RegionFile(regions[i]);
        }

        Send(FrontendRequest.SetMemTable, RawFrontend.Table(regions, _input.OneIn(12)), files);
    }

    private FileDescriptor RegionFile(MemoryRegion region) => _input.Below(12) switch
    {
        11 => AnyFile(FrontendRequest.SetMemTable),
        10 => _files.File(_input.Number(region.MmapOffset + region.Size)),
        _ => _memory.File,
    };

    /// <summary>
    /// Any descriptor. Not this front-end's own end as the back-end's channel, though: a session in this process cannot know
    /// that it would then keep itself alive.
    /// </summary>
    private FileDescriptor AnyFile(FrontendRequest request)
    {
        FileDescriptor file = _files.Any(_input, _frontend.Kept);
        return request == FrontendRequest.SetBackendReqFd && file == _frontend.Socket ? _memory.File : file;
    }

    private void ChangeMemory()
    {
        MemoryRegion region = Region(_input.Below(3));
        bool xen = _input.OneIn(12);
        if (_input.Flip())
            Send(FrontendRequest.AddMemReg, RawFrontend.Single(region, xen), RegionFile(region));
        else
            Send(FrontendRequest.RemMemReg, RawFrontend.Single(region, xen));
    }

    private void Anything()
    {
        uint request = _input.OneIn(8) ? _input.UInt32() : (uint)_input.Below(46);
        RequestShape? shape = RequestShape.Of((FrontendRequest)request);
        int size = shape is { } known && !_input.OneIn(6) ? known.MinPayload : _input.Below(300);
        int fds = shape is { } like && !_input.OneIn(6) ? Math.Min(like.MinFds + _input.Below(2), Math.Min(like.MaxFds, 8)) : _input.Below(9);
        byte[] payload = new byte[size];
        if (size >= 4)
            payload[0] = (byte)_input.Below(3);

        if (_input.Flip())
            _input.Fill(payload);

        _frontend.Send(request, payload, _input.Flip(), [.. Enumerable.Range(0, fds).Select(_ => AnyFile((FrontendRequest)request))]);
    }

    private void BrokenHeader()
    {
        byte[] payload = _input.Take(_input.Below(32));
        uint flags = _input.Number32((uint)MessageFlags.Version1);
        uint size = _input.Number32((uint)payload.Length);
        _frontend.SendRaw(HostileFrontend.Message((uint)_input.Below(46), flags, size, payload), _input.OneIn(3) ? [_memory.File] : []);
    }

    private void CutFiles()
    {
        foreach (FileDescriptor file in _files.Files)
            _ = ftruncate(file.Value, (long)(_input.Number(0) & 0xffffff));
    }

    /// <summary>Eventfds that are full: whoever signals them must not wait.</summary>
    private unsafe void FillEvents()
    {
        foreach (EventFd fd in _files.Events)
        {
            ulong most = ulong.MaxValue - 1;
            fd.Drain();
            FileIO.Write(fd.Handle.Value, &most, sizeof(ulong));
        }
    }
}

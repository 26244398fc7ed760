using TestKit;
using VhostUser.Memory;
using VhostUser.Protocol;

namespace Fuzz.Targets;

/// <content>Rings and the driver behind them.</content>
internal sealed partial class FrontendStory
{
    private bool IsTranslated => _options.AccessPlatform && (_features & VirtioFeatures.AccessPlatform) != 0;

    private bool SendsGuestAddresses => IsTranslated || (_protocol & ProtocolFeatures.GpaAddresses) != 0;

    private void SetUpRing()
    {
        int index = _input.Below(2);
        int size = _input.Pick(16, 4, 64, 1, 2, 256);
        DriverRing ring;
        try
        {
            ring = DriverRing.Create(_memory, size, _features, _input.OneIn(8) ? 1 : 0);
        }
        catch (InvalidOperationException)
        {
            return; // No room for another ring.
        }

        _rings[index] = ring;
        uint number = _input.OneIn(12) ? _input.Number32((uint)index) : (uint)index;
        int order = _input.OneIn(4) ? _input.Below(6) : 0;
        for (int i = 0; i < 6; i++)
        {
            switch ((i + order) % 6)
            {
                case 0: Send(FrontendRequest.SetVringNum, new VringState(number, _input.Number32((uint)size))); break;
                case 1: Send(FrontendRequest.SetVringBase, new VringState(number, _input.Number32(ring.InitialBase))); break;
                case 2: Send(FrontendRequest.SetVringAddr, Address(ring, number)); break;
                case 3: SendEvent(FrontendRequest.SetVringCall, (byte)number); break;
                case 4: SendEvent(FrontendRequest.SetVringKick, (byte)number); break;
                default: Send(FrontendRequest.SetVringEnable, new VringState(number, _input.OneIn(8) ? _input.Byte() : 1u)); break;
            }
        }
    }

    private VringAddress Address(DriverRing ring, uint number)
    {
        bool guest = SendsGuestAddresses != _input.OneIn(12);
        uint flags = (_features & VirtioFeatures.LogAll) != 0 || _input.OneIn(8) ? VringAddress.LogFlag : 0;
        return new VringAddress(
            number, flags, Part(ring.Descriptors), Part(ring.Device), Part(ring.Driver), new GuestAddress(_input.Number(ring.Device.Value)));

        FrontendAddress Part(GuestAddress address)
        {
            ulong right = guest ? address.Value : _memory.ToUser(address).Value;
            return new FrontendAddress(_input.OneIn(10) ? _input.Number(right) : right);
        }
    }

    private void SendEvent(FrontendRequest request, byte ring)
    {
        bool none = _input.OneIn(8);
        Send(request, new VringFd(ring, !none), none ? [] : [_files.Event()]);
    }

    private void RingMessage()
    {
        uint index = _input.Number32((uint)_input.Below(2));
        switch (_input.Below(9))
        {
            case 0: Send(FrontendRequest.SetVringNum, new VringState(index, _input.Number32(16))); break;
            case 1: Send(FrontendRequest.SetVringBase, new VringState(index, _input.Number32(0))); break;
            case 2 when _rings[index & 1] is { } ring: Send(FrontendRequest.SetVringAddr, Address(ring, index)); break;
            case 3: SendEvent(FrontendRequest.SetVringKick, (byte)index); break;
            case 4: SendEvent(FrontendRequest.SetVringCall, (byte)index); break;
            case 5: SendEvent(FrontendRequest.SetVringErr, (byte)index); break;
            case 6: Send(FrontendRequest.SetVringEnable, new VringState(index, (uint)_input.Below(3))); break;
            case 7: Send(FrontendRequest.VringKick, new VringState(index, 0)); break;
            default: Send(FrontendRequest.SetVringEndian, new VringState(index, (uint)_input.Below(3))); break;
        }
    }

    private void StopRing()
        => Send(FrontendRequest.GetVringBase, new VringState(_input.OneIn(12) ? _input.UInt32() : (uint)_input.Below(2), 0));

    /// <summary>A block request, or a lie, in a ring; then a kick.</summary>
    private void Drive()
    {
        if (_rings[_input.Below(2)] is not { } ring)
            return;

        for (int count = 1 + _input.Below(4); count > 0; count--)
        {
            if (_input.OneIn(6))
                Lie(ring);
            else if (!TryAsk(ring))
                break;
        }

        _files.Events.ForEach(static fd => fd.Signal());
    }

    private bool TryAsk(DriverRing ring)
    {
        int length = _input.Pick(512, 1024, 20, 0, 4096);
        uint type = _input.OneIn(8) ? _input.UInt32() : _input.Pick<uint>(0, 1, 4, 8, 11, 13);
        bool write = type is 1 or 11 or 13;
        if (type is 11 or 13)
            length = 16 * _input.Pick(1, 2, 32, 33);

        if (!ring.CanAdd(3))
            return false;

        try
        {
            GuestRange header = _memory.Buffer(16, writable: false);
            GuestRange data = _memory.Buffer(Math.Max(length, 1), !write) with { Length = (uint)length };
            GuestRange status = _memory.Buffer(1, writable: true);
            BitConverter.TryWriteBytes(_memory.Span(header), type);
            BitConverter.TryWriteBytes(_memory.Span(header)[8..], _input.Number(_input.Byte()));
            if (type is 11 or 13)
                BitConverter.TryWriteBytes(_memory.Span(data)[8..], (uint)_input.Number(8));

            if (_input.OneIn(10))
                data = data with { Address = new GuestAddress(_input.Number(data.Address.Value)), Length = _input.Number32(data.Length) };

            if (ring.CanAdd(3))
                ring.Add([header, data, status], (ring.Features & VirtioFeatures.IndirectDesc) != 0 && _input.Flip());

            return true;
        }
        catch (InvalidOperationException)
        {
            return false; // The guest's memory is used up.
        }
    }

    private void Lie(DriverRing ring)
    {
        RingLie lie = (RingLie)_input.Below((int)RingLie.MoreThan4GiB + 1);
        try
        {
            if (ring.CanTell(lie))
                ring.Tell(lie);
        }
        catch (InvalidOperationException)
        {
            // No memory left to lie with.
        }
    }

    private void Scribble()
    {
        Span<byte> all = _memory.All;
        for (int i = 1 + _input.Below(16); i > 0; i--)
        {
            // The rings lie at the start of the first region, which is the last in the file.
            int at = _input.Flip() ? (int)_memory.Regions[0].MmapOffset + 4096 + _input.Below(8192) : _input.UInt16() * 2;
            all[at % all.Length] = _input.Byte();
        }

        _files.Events.ForEach(static fd => fd.Signal());
    }
}

using System.Runtime.InteropServices;
using Fuzz.Engine;
using Fuzz.Oracles;
using XenMemoryProvider.Events;
using XenMemoryProvider.Ioreq;
using XenMemoryProvider.Kernel;

namespace Fuzz.Targets;

/// <summary>
/// The page of an ioreq server with anything in it, at any moment, the master's dispatcher and devices behind it. After each
/// step every byte of the page is what a naive server leaves: a slot that was ready is answered, its other bits as they
/// were; one in any other state is not touched; whoever is answered is notified, and nobody else; a request reaches the
/// devices only when it is one that Xen sends, as it stood in the page.
/// </summary>
internal sealed class IoreqTarget : FuzzTarget
{
    private const int SlotSize = 32;
    private const int Bits = 30;
    private readonly FuzzPrivcmd _privcmd = new();

    public override int MaxLength => 768;

    public override void Run(FuzzInput input, Behaviour seen)
    {
        _privcmd.Vcpus = input.Pick(3, 1, 2, 128);
        new Story(input, seen, _privcmd).Tell();
        FindingException.Require(_privcmd.Mappings == 0, $"{_privcmd.Mappings} mappings are left");
    }

    public override void Dispose() => _privcmd.Dispose();

    private sealed class Story(FuzzInput input, Behaviour seen, FuzzPrivcmd privcmd) : IIoreqHandler
    {
        private readonly FuzzEvtchn _evtchn = new(privcmd.Vcpus);
        private readonly IoreqDevices _devices = new(privcmd);
        private readonly byte[] _expected = new byte[XenPage.Size];
        private readonly Dictionary<uint, int> _notified = [];

        // Open requests, and whether the guest reads a value.
        private readonly Dictionary<int, bool> _open = [];
        private readonly int _vcpus = privcmd.Vcpus;
        private bool _handled;
        private bool _leaveOpen;
        private ulong _value;

        public void Tell()
        {
            using var events = new EventChannels(_evtchn);
            privcmd.Page.Clear();
            var model = new DeviceModel(privcmd, FuzzPrivcmd.Domid);
            IoreqServer server = IoreqServer.Create(model, events);
            for (int vcpu = 0; vcpu < _vcpus; vcpu++)
                MemoryMarshal.Write(privcmd.Page[((SlotSize * vcpu) + 24)..], 1000 + (uint)vcpu);

            if (input.OneIn(16))
                Scribble();

            int bound = Enable(server);
            for (int step = 0; step < 60 && !(step > 0 && input.IsAtEnd) && bound == _vcpus; step++)
                Step(server);

            End(server, bound);
        }

        public bool Handle(in IoRequest request, out ulong value)
        {
            Span<byte> slot = privcmd.Page.Slice(SlotSize * request.Vcpu, SlotSize);
            CheckSame(request, slot);
            FindingException.Require(privcmd.Page.SequenceEqual(_expected), "the page changes before its request is done");
            _handled = true;
            _leaveOpen = false;
            bool answered = _devices.Dispatcher.Handle(request, out value);
            FindingException.Require(answered, "the dispatcher leaves a request open");
            _value = value;
            seen.Saw($"{request.Type} {(request.IsRead ? "read" : "written")}{(request.DataIsPointer ? " by pointer" : "")}{(request.IsRead && value == ulong.MaxValue ? " ones" : "")}");
            if (input.OneIn(8))
                Scribble();

            privcmd.Page.CopyTo(_expected);
            _leaveOpen = input.OneIn(8);
            return !_leaveOpen;
        }

        private static ulong Word(ReadOnlySpan<byte> slot, int at) => MemoryMarshal.Read<ulong>(slot[at..]);

        private static uint Half(ReadOnlySpan<byte> slot, int at) => MemoryMarshal.Read<uint>(slot[at..]);

        /// <summary>Whether Xen sends such a request (its hvm/ioreq.h and emulate.c).</summary>
        private static bool IsProper(ReadOnlySpan<byte> slot)
        {
            uint count = Half(slot, 16);
            bool broadcast = slot[31] is 7 or 8;
            bool once = slot[31] != 2 || (count == 1 && (slot[Bits] & 0x10) == 0);
            return slot[31] is 0 or 1 or 2 or 7 or 8 && Half(slot, 20) is 1 or 2 or 4 or 8 && (broadcast || (count is > 0 and <= 4096 && once));
        }

        private static void CheckSame(in IoRequest request, ReadOnlySpan<byte> slot)
        {
            FindingException.Require(IsProper(slot), "a request that Xen never sends reaches the devices");
            bool same = (byte)request.Type == slot[31] && request.Address == Word(slot, 0) && request.Data == Word(slot, 8)
                && (uint)request.Size == Half(slot, 20) && (slot[31] is 7 or 8 || (uint)request.Count == Half(slot, 16))
                && request.DataIsPointer == ((slot[Bits] & 0x10) != 0) && request.IsRead == ((slot[Bits] & 0x20) != 0) && request.Descending == ((slot[Bits] & 0x40) != 0);
            FindingException.Require(same, "a request reaches the devices that is another one");
        }

        /// <returns>How many virtual CPUs are served.</returns>
        private int Enable(IoreqServer server)
        {
            try
            {
                server.Enable();
            }
            catch (XenException e)
            {
                seen.Saw(e.Message);
            }

            return _evtchn.Bound;
        }

        private void Step(IoreqServer server)
        {
            int vcpu = input.Below(_vcpus);
            privcmd.Page.CopyTo(_expected);
            switch (input.Below(8))
            {
                case 0:
                    Scribble();
                    privcmd.Page.CopyTo(_expected);
                    break;
                case 1:
                    _devices.FinishResets();
                    break;
                case 2:
                    bool wasOpen = _open.ContainsKey(vcpu);
                    ulong value = input.UInt64();
                    if (wasOpen)
                        ExpectAnswer(vcpu, value);

                    FindingException.Require(server.Complete(vcpu, value) == wasOpen, "an answer is taken that nobody waits for, or is not");
                    break;
                case 3:
                    Serve(vcpu, () => server.Serve(FuzzEvtchn.PortOf(vcpu), this));
                    FindingException.Require(!server.Serve(input.UInt32() | 0x8000_0000, this), "a port is served that is not this server's");
                    break;
                default:
                    Ask(vcpu);
                    Serve(vcpu, () => server.Serve(FuzzEvtchn.PortOf(vcpu), this));
                    break;
            }

            Compare();
        }

        /// <summary>What Xen writes, or nearly.</summary>
        private void Ask(int vcpu)
        {
            Span<byte> slot = privcmd.Page.Slice(SlotSize * vcpu, SlotSize);
            byte type = input.OneIn(12) ? input.Byte() : input.Pick<byte>(1, 0, 2, 1, 7, 8);
            uint size = input.Pick(4u, 1u, 2u, 8u);
            ulong place = type switch
            {
                0 => input.Pick(0xcf8UL, 0xcfcUL, 0x10UL) + (ulong)input.Below(4),
                2 => ((ulong)input.Below(32) << 35) + (ulong)input.Below(256),
                _ => input.Pick(IoreqDevices.BarStart, IoreqDevices.BarStart + 0x4000, IoreqDevices.MmioStart, 0UL) + (ulong)input.Below(0x1000),
            };
            MemoryMarshal.Write(slot, input.OneIn(8) ? input.Number(place) : place);
            bool pointer = input.OneIn(6);
            MemoryMarshal.Write(slot[8..], pointer ? input.Number((ulong)input.UInt16() % 0x10000) : input.Flip() ? (ulong)input.Byte() : input.UInt64());
            MemoryMarshal.Write(slot[16..], input.Number32(1 + (input.OneIn(8) ? (uint)input.Below(40) : 0)));
            MemoryMarshal.Write(slot[20..], input.OneIn(10) ? input.UInt32() : size);
            int state = input.OneIn(12) ? input.Below(16) : 1;
            slot[Bits] = (byte)(state | (pointer ? 0x10 : 0) | (input.Flip() ? 0x20 : 0) | (input.OneIn(6) ? 0x40 : 0) | (input.OneIn(6) ? 0x80 : 0));
            slot[31] = type;
        }

        private void Scribble()
        {
            for (int i = 1 + input.Below(6); i > 0; i--)
            {
                int at = input.Flip() ? (SlotSize * input.Below(_vcpus)) + input.Pick(Bits, 31, 20, 16, 8, 24) : input.UInt16() % XenPage.Size;
                privcmd.Page[at] = input.Flip() ? (byte)input.Below(4) : input.Byte();
            }
        }

        private void Serve(int vcpu, Func<bool> serve)
        {
            privcmd.Page.CopyTo(_expected);
            ReadOnlySpan<byte> before = _expected.AsSpan(SlotSize * vcpu, SlotSize);
            bool ready = (before[Bits] & 15) == 1 && !_open.ContainsKey(vcpu);
            bool proper = IsProper(before);
            bool wants = (before[Bits] & 0x30) == 0x20;
            if (ready)
            {
                // While it is worked on; the handler sees it like that.
                _expected[(SlotSize * vcpu) + Bits] = (byte)((before[Bits] & 0xf0) | 2);
                _open[vcpu] = wants;
            }

            _handled = false;
            FindingException.Require(serve(), "a virtual CPU is not served");
            FindingException.Require(_handled == (ready && proper), ready ? proper ? "a request does not reach the devices" : "nonsense reaches the devices" : "a slot is served that is not ready");
            if (!ready)
                return;

            seen.Saw(proper ? "answered" : "nonsense");
            if (!proper)
                ExpectAnswer(vcpu, ulong.MaxValue);
            else if (!_leaveOpen)
                ExpectAnswer(vcpu, _value);
        }

        /// <summary>The answer of a naive server, into the page as it was before it.</summary>
        private void ExpectAnswer(int vcpu, ulong value)
        {
            _open.Remove(vcpu, out bool wants);
            int slot = SlotSize * vcpu;
            if (wants)
                MemoryMarshal.Write(_expected.AsSpan(slot + 8), value);

            // A step from any other state would crash the domain.
            if ((_expected[slot + Bits] & 15) == 2)
                _expected[slot + Bits] = (byte)((_expected[slot + Bits] & 0xf0) | 3);

            uint port = FuzzEvtchn.PortOf(vcpu);
            _notified[port] = _notified.GetValueOrDefault(port) + 1;
        }

        private void Compare()
        {
            int differs = privcmd.Page.CommonPrefixLength(_expected);
            if (differs != XenPage.Size)
                throw new FindingException($"byte {differs % SlotSize} of slot {differs / SlotSize} is {privcmd.Page[differs]} and not {_expected[differs]}");

            FindingException.Require(_notified.Count == _evtchn.Notified.Count && _notified.All(entry => _evtchn.Notified.GetValueOrDefault(entry.Key) == entry.Value), "another port is notified, or another number of times");
        }

        /// <summary>Whoever waits reads all ones.</summary>
        private void End(IoreqServer server, int bound)
        {
            seen.Count("lost", server.Lost);
            privcmd.Page.CopyTo(_expected);
            if (bound == _vcpus)
            {
                for (int vcpu = 0; vcpu < _vcpus; vcpu++)
                {
                    ref byte bits = ref _expected[(SlotSize * vcpu) + Bits];
                    if ((bits & 15) is not (1 or 2))
                        continue;

                    bits = (byte)((bits & 0xf0) | 2);
                    _open[vcpu] = true;
                    ExpectAnswer(vcpu, ulong.MaxValue);
                }
            }

            server.Dispose();
            if (bound == _vcpus)
                Compare();

            FindingException.Require(_evtchn.Bound == 0, $"{_evtchn.Bound} ports are still bound");
            server.Dispose();
        }
    }
}

using System.Runtime.InteropServices;
using TestKit;
using VhostUser.Memory;
using VhostUser.Protocol;
using VhostUser.Queues;
using VhostXen.Linux;
using Xunit;

namespace VhostUser.Tests.Queues;

/// <summary>
/// Any bytes whatever in ring memory. Each part of the ring ends at an inaccessible page and so does each region:
/// a step outside ends the process. Every run must end within its budget and throw nothing.
/// </summary>
public unsafe class HostileBytesTests
{
    public static TheoryData<ulong, int> Rings()
    {
        TheoryData<ulong, int> rings = [];
        foreach (ulong form in (ReadOnlySpan<ulong>)[0, VirtioFeatures.RingPacked])
        {
            foreach (ulong more in (ReadOnlySpan<ulong>)[0, VirtioFeatures.EventIdx | VirtioFeatures.InOrder])
            {
                foreach (int size in (ReadOnlySpan<int>)[1, 4, 64])
                    rings.Add(form | more | VirtioFeatures.IndirectDesc, size);
            }
        }

        return rings;
    }

    [Theory]
    [MemberData(nameof(Rings))]
    public void Ring_AnyBytes_StaysInsideItsMemoryAndBudget(ulong features, int size)
    {
        using Rig rig = new(features, size);
        for (int seed = 0; seed < 2000; seed++)
            rig.Run(new Random(seed), seed);

        // The bytes were not all refused at the first glance.
        Assert.True(rig.Chains > 80, $"{rig.Chains} chains");
        Assert.True(rig.Broken > 200, $"{rig.Broken} broken");
        Assert.True(rig.Touched > 40, $"{rig.Touched} buffers touched");
    }

    /// <summary>The same while another thread goes on writing: a value read twice would be two values.</summary>
    [Theory]
    [MemberData(nameof(Rings))]
    public void Ring_BytesChangingAllTheTime_StaysInsideItsMemoryAndBudget(ulong features, int size)
    {
        using Rig rig = new(features, size);
        bool stop = false;
        Thread scribbler = new(() =>
        {
            Random random = new(1);
            while (!Volatile.Read(ref stop))
                rig.Scribble(random);
        });
        scribbler.Start();
        try
        {
            for (int seed = 0; seed < 500; seed++)
                rig.Run(new Random(seed), seed);
        }
        finally
        {
            Volatile.Write(ref stop, true);
            scribbler.Join();
        }
    }

    private sealed class Rig : IDisposable
    {
        private readonly ulong _features;
        private readonly int _size;
        private readonly TestMemory _memory = new((0UL, 8192UL), (0x10000UL, 4096UL), (0x11000UL, 4096UL));
        private readonly MappedGuest _guest;
        private readonly GuardedBytes _descriptors;
        private readonly GuardedBytes _driver;
        private readonly GuardedBytes _device;
        private readonly DescriptorChain[] _chains;
        private readonly IovecList _readable = new();
        private readonly IovecList _writable = new();

        public Rig(ulong features, int size)
        {
            _features = features;
            _size = size;
            _guest = _memory.Map(new GuardedProvider());
            (ulong descriptors, ulong driver, ulong device) = VirtqueueLayout.Sizes((features & VirtioFeatures.RingPacked) != 0, size);
            _descriptors = new GuardedBytes((int)descriptors);
            _driver = new GuardedBytes((int)driver);
            _device = new GuardedBytes((int)device);
            _chains = [.. Enumerable.Range(0, size + 1).Select(static _ => new DescriptorChain())];
        }

        public int Chains { get; private set; }

        public int Broken { get; private set; }

        public int Touched { get; private set; }

        public void Run(Random random, int seed)
        {
            Fill(random, seed);
            VirtqueueLayout layout = new() { Size = _size, Descriptors = _descriptors.Pointer, Driver = _driver.Pointer, Device = _device.Pointer };
            Virtqueue queue = Virtqueue.Create(layout, _features, Base(random), null);
            queue.Memory = _guest.Map;
            int lives = 0;
            while (lives++ < 4)
            {
                int popped = 0;
                PopResult result;
                while ((result = queue.TryPop(_chains[popped])) == PopResult.Chain)
                {
                    Touch(_chains[popped++]);
                    Assert.InRange(popped, 1, _size);
                }

                Chains += popped;
                for (int i = popped - 1; i >= 0; i--)
                    queue.AddUsed(_chains[i], (uint)random.Next());

                queue.Publish();
                queue.SuppressKicks();
                queue.AllowKicks();
                Assert.Equal(0, queue.InFlight);
                if (result == PopResult.Broken)
                {
                    Assert.NotNull(queue.BrokenCause);
                    Broken++;
                    return;
                }
            }
        }

        public void Scribble(Random random)
        {
            for (int i = 0; i < 64; i++)
            {
                _descriptors.Span[random.Next(_descriptors.Length)] = Byte(random);
                _driver.Span[random.Next(_driver.Length)] = Byte(random);
                _device.Span[random.Next(_device.Length)] = Byte(random);
                _memory.All[random.Next(_memory.All.Length)] = Byte(random);
            }
        }

        public void Dispose()
        {
            _guest.Dispose();
            _memory.Dispose();
            _descriptors.Dispose();
            _driver.Dispose();
            _device.Dispose();
        }

        private static byte Byte(Random random) => (byte)(random.Next(2) == 0 ? random.Next(8) : random.Next(256));

        private uint Base(Random random)
        {
            if ((_features & VirtioFeatures.RingPacked) == 0)
                return (uint)random.Next(3);

            uint position = (uint)random.Next(_size) | (random.Next(2) == 0 ? 0x8000u : 0);
            return position | (position << 16);
        }

        private void Touch(DescriptorChain chain)
        {
            Assert.InRange(chain.Count, 1, Math.Max(_size, IndirectTable.ToleratedChain) + _size);
            _readable.Clear();
            _writable.Clear();
            if (_guest.Map.Resolve(chain.Ranges, _readable, _writable, out _, out _) != ResolveResult.Ok)
                return;

            byte sum = 0;
            foreach (ref readonly iovec entry in _readable.Span)
                sum += entry.iov_len == 0 ? (byte)0 : (byte)(((byte*)entry.iov_base)[0] + ((byte*)entry.iov_base)[entry.iov_len - 1]);

            foreach (ref readonly iovec entry in _writable.Span)
            {
                if (entry.iov_len != 0)
                    ((byte*)entry.iov_base)[0] = ((byte*)entry.iov_base)[entry.iov_len - 1] = sum;
            }

            Touched++;
        }

        /// <summary>From wholly random to almost right, so that every check is reached.</summary>
        private void Fill(Random random, int seed)
        {
            random.NextBytes(_descriptors.Span);
            random.NextBytes(_driver.Span);
            random.NextBytes(_device.Span);
            random.NextBytes(_memory.All);
            if (seed % 8 == 0)
                return;

            bool packed = (_features & VirtioFeatures.RingPacked) != 0;
            Entries(random, _descriptors.Span, packed, _size, 0x80);
            Entries(random, _memory.All, packed, 70, 0);
            if (packed)
                return;

            MemoryMarshal.Write(_driver.Span[2..], (ushort)random.Next(_size + 3));
            for (int i = 0; i < _size; i++)
                MemoryMarshal.Write(_driver.Span[(4 + (2 * i))..], (ushort)random.Next(_size + (seed % 2)));
        }

        private static void Entries(Random random, Span<byte> bytes, bool packed, int links, int available)
        {
            for (int at = 0; at + 16 <= bytes.Length; at += 16)
            {
                if (random.Next(50) == 0)
                    continue;

                ulong address = random.Next(4) switch
                {
                    0 => 0x10000 + (ulong)random.Next(8192),
                    1 => (ulong)random.Next(0x12000),
                    _ => (ulong)random.Next(512) * 16,
                };
                ushort flags = (ushort)random.Next(16);
                if (random.Next(3) != 0)
                    flags &= 3;

                uint length = (flags & 4) != 0 ? 16u * (uint)random.Next(70) : (uint)random.Next(2048);
                if (packed)
                {
                    flags |= (ushort)(random.Next(8) == 0 ? 0x8000 : available);
                    MemoryMarshal.Write(bytes[(at + 14)..], flags);
                }
                else
                {
                    MemoryMarshal.Write(bytes[(at + 12)..], flags);
                    MemoryMarshal.Write(bytes[(at + 14)..], (ushort)random.Next(links + 1));
                }

                MemoryMarshal.Write(bytes[at..], address);
                MemoryMarshal.Write(bytes[(at + 8)..], length);
            }
        }
    }
}

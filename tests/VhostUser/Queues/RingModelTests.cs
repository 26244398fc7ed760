using TestKit;
using VhostUser.Memory;
using VhostUser.Protocol;
using VhostUser.Queues;
using Xunit;

namespace VhostUser.Tests.Queues;

/// <summary>Any legal life of driver and device, drawn at random: the ring does what <see cref="RingModel"/> says at every step.</summary>
public class RingModelTests
{
    public static TheoryData<ulong, int> Rings()
    {
        TheoryData<ulong, int> rings = [];
        for (int bits = 0; bits < 16; bits++)
        {
            ulong features = ((bits & 1) != 0 ? VirtioFeatures.RingPacked : 0)
                | ((bits & 2) != 0 ? VirtioFeatures.EventIdx : 0)
                | ((bits & 4) != 0 ? VirtioFeatures.IndirectDesc : 0)
                | ((bits & 8) != 0 ? VirtioFeatures.InOrder : 0);
            foreach (int size in (ReadOnlySpan<int>)[1, 2, 8, 64])
                rings.Add(features, size);

            if ((bits & 1) != 0)
                rings.Add(features, 7);
        }

        return rings;
    }

    [Theory]
    [MemberData(nameof(Rings))]
    public void Ring_AnyLegalLife_IsTheModel(ulong features, int size)
    {
        for (int seed = 0; seed < 10; seed++)
            Live(features, size, seed, steps: 1500);
    }

    /// <summary>Long enough for the 16-bit indices to wrap twice.</summary>
    [Theory]
    [InlineData(0)]
    [InlineData(VirtioFeatures.EventIdx)]
    [InlineData(VirtioFeatures.EventIdx | VirtioFeatures.RingPacked)]
    public void Ring_LongLife_IsTheModel(ulong features)
    {
        using RingRig rig = new(4, features);
        Life life = new(rig, new Random(1));
        while (life.Added < 140_000)
            life.Step();
    }

    private static void Live(ulong features, int size, int seed, int steps)
    {
        using RingRig rig = new(size, features, memory: new TestMemory((0UL, 2UL << 20)));
        Life life = new(rig, new Random(seed));
        int step = 0;
        try
        {
            for (; step < steps; step++)
                life.Step();
        }
        catch (Exception e)
        {
            throw new InvalidOperationException($"seed {seed}, step {step}: {e.Message}", e);
        }

        Assert.True(life.Added > 20, $"only {life.Added} chains");
    }

    private sealed class Life(RingRig rig, Random random)
    {
        private readonly RingModel _model = new(rig.Driver.Size, rig.Driver.IsPacked, Has(rig, VirtioFeatures.EventIdx), Has(rig, VirtioFeatures.InOrder));
        private readonly List<(RingModel.Chain Model, DescriptorChain Chain)> _popped = [];
        private readonly Stack<DescriptorChain> _pool = new();

        public int Added { get; private set; }

        public void Step()
        {
            switch (random.Next(20))
            {
                case <= 5:
                    Add();
                    break;
                case <= 10:
                    Pop();
                    break;
                case <= 13:
                    Finish();
                    break;
                case 14:
                    Assert.Equal(_model.Publish(), rig.Device.Publish());
                    break;
                case 15:
                    Collect();
                    break;
                case 16:
                    Interrupts();
                    break;
                case 17:
                    Kicks();
                    break;
                case 18:
                    Assert.Equal(_model.NeedsKick(), rig.Driver.NeedsKick());
                    break;
                default:
                    Restart();
                    break;
            }

            Assert.Equal(_model.InFlight, rig.Device.InFlight);
            Assert.Null(rig.Device.BrokenCause);
        }

        private static bool Has(RingRig rig, ulong feature) => (rig.Driver.Features & feature) != 0;

        private void Add()
        {
            bool indirect = Has(rig, VirtioFeatures.IndirectDesc) && random.Next(2) == 0;
            int count = random.Next(1, indirect ? 7 : Math.Min(7, rig.Driver.Size + 1));
            if (!rig.Driver.CanAdd(indirect ? 1 : count))
                return;

            int readable = random.Next(count + 1);
            GuestRange[] ranges = new GuestRange[count];
            for (int i = 0; i < count; i++)
                ranges[i] = new GuestRange(new GuestAddress((ulong)random.NextInt64()), (uint)random.Next(600_000_000), i >= readable);

            _model.Add(rig.Driver.Add(ranges, indirect), ranges, indirect ? 1 : count);
            Added++;
        }

        private void Pop()
        {
            DescriptorChain chain = _pool.TryPop(out DescriptorChain? pooled) ? pooled : new DescriptorChain();
            if (!_model.HasAvailable)
            {
                Assert.Equal(PopResult.Empty, rig.Device.TryPop(chain));
                _pool.Push(chain);
                return;
            }

            Assert.Equal(PopResult.Chain, rig.Device.TryPop(chain));
            RingModel.Chain expected = _model.Pop();
            Assert.Equal(expected.Id, chain.Id);
            Assert.Equal(expected.Slots, chain.Slots);
            Assert.True(chain.Ranges.SequenceEqual(expected.Ranges));
            if (random.Next(8) == 0)
            {
                rig.Device.Unpop(chain);
                _model.Unpop();
                _pool.Push(chain);
                return;
            }

            _popped.Add((expected, chain));
        }

        private void Finish()
        {
            if (_popped.Count == 0)
                return;

            int place = random.Next(_popped.Count);
            uint written = (uint)random.Next((int)Math.Min(int.MaxValue, _popped[place].Chain.Ranges.ToArray().Where(static range => range.Writable).Sum(static range => (long)range.Length) + 1));
            rig.Device.AddUsed(_popped[place].Chain, written);
            Assert.Same(_popped[place].Model, _model.Finish(place, written));
            _pool.Push(_popped[place].Chain);
            _popped.RemoveAt(place);
        }

        private void Collect()
        {
            for (int budget = random.Next(1, 5); budget > 0; budget--)
            {
                bool expected = _model.TryCollect(out RingModel.Chain chain);
                Assert.Equal(expected, rig.Driver.TryCollect(out UsedBuffer used));
                if (!expected)
                    return;

                Assert.Equal(new UsedBuffer(chain.Id, chain.Written), used);
            }
        }

        private void Interrupts()
        {
            if (random.Next(3) == 0)
            {
                rig.Driver.SuppressInterrupts();
                _model.SuppressInterrupts();
                return;
            }

            int after = random.Next(2) == 0 ? 0 : random.Next(rig.Driver.Size);
            if (after == 0)
            {
                Assert.Equal(_model.AllowInterrupts(0), rig.Driver.AllowInterrupts());
                return;
            }

            rig.Driver.AllowInterruptsAfter(after);
            _model.AllowInterrupts(after);
        }

        private void Kicks()
        {
            if (random.Next(2) == 0)
            {
                rig.Device.SuppressKicks();
                _model.SuppressKicks();
                return;
            }

            Assert.Equal(_model.AllowKicks(_model.PoppedPosition), rig.Device.AllowKicks());
        }

        private void Restart()
        {
            if (!_model.IsIdle)
                return;

            rig.Open(rig.Device.Base);
            _model.Restart();
        }
    }
}

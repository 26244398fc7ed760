using Fuzz.Engine;
using TestKit;
using VhostUser.Session;

namespace Fuzz.Targets;

/// <summary>Everything that can be asked of a front-end session, in any order; and what may come of it.</summary>
internal sealed class FrontendCalls(FrontendSession session, FuzzInput input, TestMemory memory, RawRing ring, HostileBackend backend) : IDisposable
{
    public const int Count = 24;
    private readonly List<FrontendInflight> _regions = [];

    public void Make(int call, Behaviour seen)
    {
        backend.Listen();
        Task task = Start(call);
        backend.Serve(task);
        if (task.Exception?.InnerException is { } cause)
        {
            // The one kind that its documentation promises, and it says why.
            if (cause is not FrontendException || cause.Message.Length == 0)
                throw new FindingException($"call {call} ends with {cause}");

            seen.Saw($"{call}: {cause.Message}");
            return;
        }

        FindingException.Require(backend.Impossible is null, $"call {call} takes an answer that cannot be right: {backend.Impossible}");
        seen.Saw($"done: {(char)('a' + call)}");
    }

    public void Dispose() => _regions.ForEach(static region => region.Dispose());

    private Task Start(int call)
    {
        try
        {
            return call switch
            {
                0 => session.NegotiateAsync(),
                1 => session.SetFeaturesAsync(input.UInt64()),
                2 => session.SetMemoryAsync(memory.Shared),
                3 => session.AddMemoryAsync(memory.Shared[1]),
                4 => session.RemoveMemoryAsync(memory.Regions[1]),
                5 => session.GetMaxMemorySlotsAsync(),
                6 => session.SetLogAsync(memory.File, 0x1000),
                7 => session.UpdateIotlbAsync(0, 0x1000, memory.Regions[0].UserAddress, read: true, write: true),
                8 => session.InvalidateIotlbAsync(0, 0x1000),
                9 or 10 => session.StartRingAsync(ring.Describe()),
                11 => session.StopRingAsync(0),
                12 => session.SetCallAsync(0, input.Flip() ? ring.Call : null),
                13 => session.KickInBandAsync(0),
                14 => CheckConfigAsync(input.Below(200), 1 + input.Below(256)),
                15 => session.SetConfigAsync(input.Byte(), new byte[1 + input.Below(256)]),
                16 => session.SetStatusAsync(input.Byte()),
                17 => session.GetStatusAsync(),
                18 => session.GetSharedMemorySizesAsync(),
                19 => session.ResetDeviceAsync(),
                20 => GetInflightAsync(),
                21 => _regions.Count != 0 ? session.SetInflightAsync(_regions[^1]) : session.SetMtuAsync(1500),
                22 => SaveStateAsync(),
                _ => session.LoadStateAsync(new byte[input.Pick(100, 0, 200_000)]),
            };
        }
        catch (FrontendException e)
        {
            return Task.FromException(e);
        }
    }

    private async Task CheckConfigAsync(int offset, int size)
    {
        byte[] config = await session.GetConfigAsync(offset, size).ConfigureAwait(false);
        FindingException.Require(config.Length == size, $"{config.Length} bytes of configuration for {size}");
    }

    private async Task GetInflightAsync()
    {
        FrontendInflight region = await session.GetInflightAsync(1, 16).ConfigureAwait(false);
        _regions.Add(region);
        FindingException.Require(region.Size != 0 && !region.File.IsClosed, "an in-flight region of nothing");
    }

    private async Task SaveStateAsync()
    {
        int limit = input.Pick(1 << 20, 50);
        byte[] state = await session.SaveStateAsync(limit).ConfigureAwait(false);
        FindingException.Require(state.Length <= limit, "more state than was allowed");
    }
}

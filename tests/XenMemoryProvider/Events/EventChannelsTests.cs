using VhostXen.Linux;
using XenMemoryProvider.Events;
using XenMemoryProvider.Tests.Fakes;
using Xunit;

namespace XenMemoryProvider.Tests.Events;

public sealed class EventChannelsTests : IDisposable
{
    private readonly FakeEvtchn _evtchn = new();
    private readonly EventChannels _events;

    public EventChannelsTests() => _events = new EventChannels(_evtchn);

    public void Dispose() => _events.Dispose();

    [Fact]
    public void Take_PendingPort_IsUnmaskedBeforeTheCallerLooks()
    {
        uint port = _events.BindInterdomain(3, 40);
        var ports = new uint[4];

        Assert.Equal(1, _events.Take(ports));

        Assert.Equal((port, true), (ports[0], _evtchn.Log.SequenceEqual([$"read {port}", $"unmask {port}"])));
        Assert.Equal(0, _events.Take(ports));
    }

    [Fact]
    public void Take_EventWhileCallerLooks_ComesAgain()
    {
        uint port = _events.BindInterdomain(3, 40);
        var ports = new uint[4];
        _events.Take(ports);

        _evtchn.Raise(port);

        Assert.Equal(1, _events.Take(ports));
    }

    [Fact]
    public void Take_Overflow_UnmasksAndReportsEveryPortOnce()
    {
        uint[] bound = [.. Enumerable.Range(1, 7).Select(remote => _events.BindInterdomain(3, (uint)remote))];
        var ports = new uint[3];
        while (_events.Take(ports) != 0)
        {
        }
        _evtchn.Log.Clear();
        _evtchn.Overflow = true;

        var seen = new List<uint>();
        for (int count; (count = _events.Take(ports)) != 0;) seen.AddRange(ports[..count]);

        Assert.Equal(bound, seen);
        Assert.Equal(bound.Select(port => $"unmask {port}"), _evtchn.Log);
        Assert.Equal(1, _events.Overflows);
    }

    [Fact]
    public void Unbind_Port_IsForgotten()
    {
        uint kept = _events.BindInterdomain(3, 1);
        uint gone = _events.BindInterdomain(3, 2);
        _events.Unbind(gone);
        var ports = new uint[8];
        _evtchn.Overflow = true;

        Assert.Equal(1, _events.Take(ports));
        Assert.Equal(kept, ports[0]);
    }

    [Fact]
    public void AddTo_Epoll_WakesWithTheWord()
    {
        using var epoll = new Epoll();
        _events.AddTo(epoll, 77);
        Span<epoll_event> ready = [default];
        Assert.Equal(0, epoll.Wait(ready, 0));

        _events.BindInterdomain(3, 40);

        Assert.Equal(1, epoll.Wait(ready, 1000));
        Assert.Equal(77UL, ready[0].data);
    }
}

using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using TestKit;
using VhostUser.Hosting;
using VhostUser.Memory;
using VhostUser.Protocol;
using VhostUser.Session;
using VhostXen.Linux;
using Xunit;

namespace VhostUser.Tests.Hosting;

public sealed class HungDeviceTests : IDisposable
{
    private readonly string _path = Path.Combine(Path.GetTempPath(), $"hung-{Guid.NewGuid():n}.sock");

    public void Dispose() => File.Delete(_path);

    // QEMU talks to a back-end that accepts it while the guest waits: one that cannot serve must hang up, not keep it waiting.
    [Fact]
    public async Task Frontend_ComingBackWhileTheDeviceHangs_IsHungUpOnUntilItIsServed()
    {
        using var memory = new TestMemory();
        var device = new EchoDevice();
        var options = new DeviceHostOptions
        {
            Name = "test",
            SocketPath = _path,
            Session = new SessionOptions { StopTimeout = TimeSpan.FromMilliseconds(300) },
        };
        using var end = new CancellationTokenSource();
        Task<int> host = VhostUserHost.RunAsync([new HostedDevice(device, options)], new SharedFileProvider(), LogLevel.None, end.Token);
        Assert.True(SpinWait.SpinUntil(() => File.Exists(_path), RawFrontend.Deadline));

        using (RawFrontend first = Connect())
        {
            await first.NegotiateAsync();
            await first.ShareAsync(memory);
            using RawRing ring = await first.StartRingAsync(DriverRing.Create(memory, 16));
            device.Hold = true;
            ring.Post([1]);
            Assert.True(SpinWait.SpinUntil(() => device.Held == 1, RawFrontend.Deadline));
            first.Send(FrontendRequest.GetVringBase, new VringState(0, 0));
            Assert.True(await first.IsHungUpOnAsync());
        }

        for (int i = 0; i < 3; i++)
        {
            using RawFrontend refused = Connect();
            Assert.True(await refused.IsHungUpOnAsync());
        }

        device.Release();
        await ServedAgainAsync(memory);
        await end.CancelAsync();
        Assert.Equal(0, await host.WaitAsync(RawFrontend.Deadline, TestContext.Current.CancellationToken));
    }

    /// <summary>As a front-end with reconnect=1 does it: the session that ends may still hang up on the first attempts.</summary>
    private async Task ServedAgainAsync(TestMemory memory)
    {
        using var deadline = new CancellationTokenSource(RawFrontend.Deadline);
        while (true)
        {
            try
            {
                await EchoAsync(memory);
                return;
            }
            catch (Exception e) when (e is IOException or SocketException && !deadline.IsCancellationRequested)
            {
                await Task.Yield();
            }
        }
    }

    private async Task EchoAsync(TestMemory memory)
    {
        using RawFrontend next = Connect();
        await next.NegotiateAsync();
        await next.ShareAsync(memory);
        using RawRing ring = await next.StartRingAsync(DriverRing.Create(memory, 16));
        Assert.Equal([2], ring.Echo([2]));
    }

    private RawFrontend Connect()
    {
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Connect(new UnixDomainSocketEndPoint(_path));
        using FileDescriptor borrowed = new((int)socket.Handle, ownsHandle: false);
        return new RawFrontend(borrowed.Duplicate());
    }
}

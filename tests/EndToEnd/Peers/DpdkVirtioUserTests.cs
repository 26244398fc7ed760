using System.Text.RegularExpressions;
using GuestKit;
using TestKit;
using VhostUser.Devices;
using VhostUser.Memory;
using VhostUser.Protocol;
using VhostUser.Session;
using VhostXen.Linux;
using Xunit;

namespace EndToEnd.Tests.Peers;

/// <summary>DPDK's virtio-user, a front-end by other people in user space, against our library: frames go out and come back.</summary>
[Trait("Category", "Peer")]
public sealed partial class DpdkVirtioUserTests
{
    private const long Frames = 20_000;
    private const long InFlight = 1024;
    private const ulong Forms = VirtioFeatures.RingPacked | VirtioFeatures.InOrder;
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    [Theory]
    [InlineData("packed_vq=0,in_order=0", 0UL)]
    [InlineData("packed_vq=0,in_order=1", VirtioFeatures.InOrder)]
    [InlineData("packed_vq=1,in_order=0", VirtioFeatures.RingPacked)]
    [InlineData("packed_vq=1,in_order=1", VirtioFeatures.RingPacked | VirtioFeatures.InOrder)]
    [InlineData("packed_vq=1,in_order=1,mrg_rxbuf=0", VirtioFeatures.RingPacked | VirtioFeatures.InOrder)]
    public Task Frames_OutAndBack_AreCountedByBothSides(string form, ulong expected) => GuestRun.RunAsync("dpdk", async run =>
    {
        var device = new LoopbackNetDevice { Goal = Frames };
        var log = new RecordingLogger();
        await using DeviceInstance instance = await DeviceInstance.StartAsync("net", device, 1, new WorkerOptions { UseIoUring = false }, log);
        string path = run.PathOf("net.sock");
        using FileDescriptor listener = FdSocket.Listen(path);
        Task session = Task.Run(async () =>
        {
            FileDescriptor connection = FdSocket.Accept(listener) ?? throw new IOException("nobody connected");
            await new BackendSession(connection, instance, new SharedFileProvider(), new SessionOptions(), log).RunAsync(CancellationToken.None);
        });

        var said = new List<string>();
        ChildProcess testpmd = ChildProcess.Start(
            run,
            "testpmd",
            new CommandLine("dpdk-testpmd",
            [
                "-l", "0,1", "--no-huge", "-m", "256", "--no-pci", $"--file-prefix={Path.GetFileName(run.Directory)}",
                $"--vdev=net_virtio_user0,path={path},queues=1,{form}",
                "--", "--auto-start", "--tx-first", "--forward-mode=io", "--total-num-mbufs=8192",
            ]),
            said.Add);
        Task first = await Task.WhenAny(device.Reached.Task, testpmd.Exited).WaitAsync(Deadline);
        Assert.True(first == device.Reached.Task, "testpmd ended by itself");
        testpmd.WriteLine("");
        await testpmd.Exited.WaitAsync(Deadline);
        await session.WaitAsync(Deadline);

        Assert.Equal(expected, device.NegotiatedFeatures & Forms);
        Assert.Empty(log.Complaints);
        (long received, long sent) = Totals(said);

        // testpmd may stop before it reads the last bursts that the device gave back.
        Assert.InRange(received, Frames - InFlight, device.Looped);
        Assert.InRange(sent, received, device.Looped + InFlight);
    });

    /// <summary>The accumulated statistics that testpmd prints when it stops forwarding.</summary>
    private static (long Received, long Sent) Totals(IEnumerable<string> said)
    {
        string text = string.Join('\n', said);
        Match received = Received().Match(text);
        Match sent = Sent().Match(text);
        Assert.True(received.Success && sent.Success, "testpmd printed no statistics");
        return (long.Parse(received.Groups[1].ValueSpan, null), long.Parse(sent.Groups[1].ValueSpan, null));
    }

    [GeneratedRegex(@"RX-packets: (\d+)")]
    private static partial Regex Received();

    [GeneratedRegex(@"TX-packets: (\d+)")]
    private static partial Regex Sent();
}

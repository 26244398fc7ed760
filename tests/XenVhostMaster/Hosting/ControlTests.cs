using TestKit;
using XenMemoryProvider.Store;
using XenVhostMaster.Domains;
using XenVhostMaster.Hosting;
using XenVhostMaster.Tests.Domains;
using static XenVhostMaster.Tests.Domains.ModelRig;

namespace XenVhostMaster.Tests.Hosting;

public class ControlTests
{
    [Fact]
    public async Task Commands_ListAttachAndDetach()
    {
        await using var rig = new ModelRig();
        await rig.BackendAsync("echo", new EchoDevice());
        await rig.BackendAsync("more", new EchoDevice());
        using var stop = new CancellationTokenSource();
        await using XenStore store = XenStore.Open(rig.Kernel);
        var follower = new GuestFollower(new GuestOptions { Domain = "guest", Devices = [rig.Device("echo")] }, rig.Kernel, store, rig.Log);
        Task running = follower.RunAsync(once: false, stop.Token);
        Assert.Null(await follower.Settled.WaitAsync(Deadline));
        string path = rig.Socket("control");
        await using (ControlServer.Start(path, [follower], null, rig.Log))
        {
            (int code, string output, string errors) = await SendAsync(path, "list");
            Assert.Equal((0, ""), (code, errors));
            Assert.Contains("guest domain=1 kind=Pvh", output);
            Assert.Contains("virtio-42@1 status=0x0", output);

            Assert.Equal((0, "virtio-42@7\n", ""), await SendAsync(path, "attach", "guest", $"42,socket={rig.Socket("more")},slot=7"));
            rig.Guest.Unpause();
            var driver = new PciDriver(rig.Guest, 7);
            await Task.Run(() =>
            {
                driver.BringUp(Deadline);
                driver.Echo(0, Deadline);
            }).WaitAsync(Deadline);

            (code, _, errors) = await SendAsync(path, "detach", "guest", "virtio-42@7");
            Assert.Equal(1, code);
            Assert.Contains("the guest uses", errors);
            Assert.Equal(0, (await SendAsync(path, "detach", "guest", "virtio-42@7", "force")).Code);
            Assert.Equal(uint.MaxValue, await Task.Run(() => driver.Config(0, 4)).WaitAsync(Deadline));

            Assert.Contains("no domain", (await SendAsync(path, "attach", "nobody", "42,socket=/x")).Errors);
            Assert.Contains("commands:", (await SendAsync(path, "dance")).Errors);
            Assert.Contains("needs socket=", (await SendAsync(path, "attach", "guest", "block")).Errors);
        }

        Assert.False(File.Exists(path));
        await stop.CancelAsync();
        await running.WaitAsync(Deadline);
    }

    private static async Task<(int Code, string Output, string Errors)> SendAsync(string path, params string[] command)
    {
        var output = new StringWriter();
        var errors = new StringWriter();
        int code = await ControlServer.SendAsync(path, command, output, errors).WaitAsync(Deadline);
        return (code, output.ToString(), errors.ToString());
    }
}

using TestKit;
using XenMemoryProvider.Store;
using XenModel.Domains;
using XenVhostMaster.Domains;
using XenVhostMaster.Hosting;
using XenVhostMaster.Tests.Domains;
using static XenVhostMaster.Tests.Domains.ModelRig;

namespace XenVhostMaster.Tests.Hosting;

public class GuestFollowerTests
{
    private static async Task FollowAsync(ModelRig rig, string domain, Func<GuestFollower, Task, Task> test)
    {
        using var stop = new CancellationTokenSource();
        await using XenStore store = XenStore.Open(rig.Kernel);
        var follower = new GuestFollower(new GuestOptions { Domain = domain, Devices = [rig.Device("echo")] }, rig.Kernel, store, rig.Log);
        Task running = follower.RunAsync(once: false, stop.Token);
        try
        {
            await test(follower, running).WaitAsync(Deadline);
        }
        finally
        {
            await stop.CancelAsync();
            await running.WaitAsync(Deadline);
        }
    }

    private static async Task WaitForSessionAsync(GuestFollower follower, ushort? domid)
    {
        while (follower.Session?.Identity.Domid != domid)
            await Task.Yield();
    }

    [Fact]
    public async Task Reboot_UnderANewDomainId_IsFollowed()
    {
        await using var rig = new ModelRig();
        await rig.BackendAsync("echo", new EchoDevice());
        await FollowAsync(rig, "guest", async (follower, _) =>
        {
            Assert.Null(await follower.Settled);
            rig.Guest.Unpause();
            await Task.Run(() =>
            {
                rig.Driver.BringUp(Deadline);
                rig.Driver.Echo(0, Deadline);
            });

            Assert.True(rig.Xen.DestroyDomain(rig.Guest.Id));
            await WaitForSessionAsync(follower, null);
            Domain reborn = rig.Xen.CreateDomain(new DomainOptions { Name = "guest", MemoryMiB = 16 });
            Assert.NotEqual(rig.Guest.Id, reborn.Id);
            await WaitForSessionAsync(follower, reborn.Id);
            reborn.Unpause();
            await Task.Run(() =>
            {
                var driver = new PciDriver(reborn, 1);
                driver.BringUp(Deadline);
                driver.Echo(0, Deadline);
            });
        });
    }

    [Fact]
    public async Task DomainId_Followed_EndsWithItsDomain()
    {
        await using var rig = new ModelRig();
        await rig.BackendAsync("echo", new EchoDevice());
        await FollowAsync(rig, $"{rig.Guest.Id}", async (follower, running) =>
        {
            Assert.Null(await follower.Settled);
            Assert.True(rig.Xen.DestroyDomain(rig.Guest.Id));
            await running;
        });
    }

    [Fact]
    public async Task Guest_DestroyedWhileItsBackEndIsMissing_IsLetGo()
    {
        await using var rig = new ModelRig();
        await FollowAsync(rig, $"{rig.Guest.Id}", async (_, running) =>
        {
            while (!rig.Log.Complaints.Any(static line => line.Contains("waiting for the back-end")))
                await Task.Yield();

            Assert.True(rig.Xen.DestroyDomain(rig.Guest.Id));
            await running;
        });
    }

    [Fact]
    public async Task Guest_KilledInTheMiddleOfIo_LeavesNothingBehind()
    {
        await using var rig = new ModelRig();
        var device = new EchoDevice { Hold = true };
        await rig.BackendAsync("echo", device);
        await FollowAsync(rig, $"{rig.Guest.Id}", async (follower, running) =>
        {
            Assert.Null(await follower.Settled);
            rig.Guest.Unpause();
            await Task.Run(() =>
            {
                rig.Driver.BringUp(Deadline);
                rig.Driver.Send(0, [1]);
                while (device.Held == 0)
                    Thread.Yield();
            });
            Assert.True(rig.Xen.DestroyDomain(rig.Guest.Id));
            device.Release();
            await running;
        });
        Assert.Null(await rig.Store.TryReadAsync($"vhostxen/ioreq-server/{rig.Guest.Id}"));
    }
}

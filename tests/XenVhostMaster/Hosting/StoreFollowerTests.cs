using TestKit;
using XenMemoryProvider.Store;
using XenModel;
using XenModel.Domains;
using XenVhostMaster.Domains;
using XenVhostMaster.Hosting;
using XenVhostMaster.Tests.Domains;
using XenVhostMaster.Transports.Mmio;
using static XenVhostMaster.Tests.Domains.ModelRig;

namespace XenVhostMaster.Tests.Hosting;

/// <summary>Devices as xl writes them into xenstore, by the two ways it has.</summary>
public class StoreFollowerTests
{
    private const ulong Base = 0x200_0000;
    private const uint Irq = 33;

    private static ModelRig Arm() => new(options: new HypervisorOptions { Architecture = Architecture.Arm });

    /// <summary>The nodes of a disk, as xl 4.17 writes them: base and irq in decimal.</summary>
    private static async Task<string> WriteDiskAsync(ModelRig rig, string socket, ulong start, uint irq)
    {
        string path = $"/local/domain/0/backend/virtio_disk/{rig.Guest.Id}/51712";
        string frontend = $"/local/domain/{rig.Guest.Id}/device/virtio_disk/51712";
        await rig.Store.TransactionAsync(async (nodes, token) =>
        {
            foreach ((string name, string value) in new[]
            {
                ("frontend", frontend), ("params", socket), ("frontend-id", $"{rig.Guest.Id}"), ("online", "1"), ("removable", "0"), ("bootable", "1"), ("state", "1"),
                ("dev", "xvda"), ("type", "standalone"), ("mode", "w"), ("device-type", "disk"), ("discard-enable", "1"), ("specification", "virtio"),
                ("transport", "mmio"), ("base", $"{start}"), ("irq", $"{irq}"),
            })
                await nodes.WriteAsync($"{path}/{name}", value, token);
        });
        return path;
    }

    /// <summary>The nodes of any other device, as xl 4.18 writes them: base in hexadecimal.</summary>
    private static async Task<string> WriteDeviceAsync(ModelRig rig, string type, ulong start, uint irq)
    {
        string path = $"/local/domain/0/backend/virtio/{rig.Guest.Id}/0";
        await rig.Store.TransactionAsync(async (nodes, token) =>
        {
            foreach ((string name, string value) in new[]
            {
                ("frontend", $"/local/domain/{rig.Guest.Id}/device/virtio/0"), ("frontend-id", $"{rig.Guest.Id}"), ("online", "1"), ("state", "1"), ("irq", $"{irq}"),
                ("base", $"0x{start:x}"), ("type", type), ("transport", "mmio"), ("grant_usage", "0"),
            })
                await nodes.WriteAsync($"{path}/{name}", value, token);
        });
        return path;
    }

    private static async Task WaitForStateAsync(ModelRig rig, string path, string state)
    {
        await using XenStoreWatch watch = await rig.Store.WatchAsync($"{path}/state");
        using var deadline = new CancellationTokenSource(Deadline);
        await foreach (string _ in watch.ReadAllAsync(deadline.Token))
        {
            if (await rig.Store.TryReadAsync($"{path}/state") == state)
                return;
        }
    }

    private static async Task FollowAsync(ModelRig rig, string folder, Func<StoreFollower, Task> test)
    {
        using var stop = new CancellationTokenSource();
        await using XenStore store = XenStore.Open(rig.Kernel);
        var follower = new StoreFollower(rig.Kernel, store, folder, rig.Log);
        Task running = follower.RunAsync(stop.Token);
        try
        {
            await test(follower).WaitAsync(Deadline);
        }
        finally
        {
            await stop.CancelAsync();
            await running.WaitAsync(Deadline);
        }
    }

    [Fact]
    public async Task Disk_AsXlWritesIt_IsReadyAtItsAddressWithItsInterrupt()
    {
        await using ModelRig rig = Arm();
        await rig.BackendAsync("disk.sock", new EchoDevice());
        await FollowAsync(rig, "/nowhere", async follower =>
        {
            string path = await WriteDiskAsync(rig, rig.Socket("disk.sock"), Base, Irq);
            await WaitForStateAsync(rig, path, "2");
            rig.Guest.Unpause();
            await Task.Run(() =>
            {
                var driver = new MmioDriver(rig.Guest, Base, Irq);
                Assert.Equal(2u, driver.Read(VirtioMmioRegister.DeviceId));
                driver.BringUp();
                for (int i = 0; i < 20; i++)
                    driver.Echo(Deadline);
            });
            Assert.Equal(GuestKind.Arm, Assert.Single(follower.Sessions).Identity.Kind);

            // xl destroy: the toolstack asks, and waits for the answer.
            await rig.Store.WriteAsync($"{path}/online", "0");
            await rig.Store.WriteAsync($"{path}/state", "5");
            await WaitForStateAsync(rig, path, "6");
            Assert.Empty(follower.Sessions[0].Devices);
        });
    }

    [Fact]
    public async Task Device_AsXlWritesIt_HasItsTypeAndTheSocketOfItsName()
    {
        await using ModelRig rig = Arm();
        await rig.BackendAsync("guest-0.sock", new EchoDevice());
        await FollowAsync(rig, Path.GetDirectoryName(rig.Socket("x"))!, async _ =>
        {
            string path = await WriteDeviceAsync(rig, "virtio,device22", Base + 0x200, Irq + 1);
            await WaitForStateAsync(rig, path, "2");
            rig.Guest.Unpause();
            await Task.Run(() =>
            {
                var driver = new MmioDriver(rig.Guest, Base + 0x200, Irq + 1);
                Assert.Equal(0x22u, driver.Read(VirtioMmioRegister.DeviceId));
                driver.BringUp();
                driver.Echo(Deadline);
            });
        });
    }

    [Fact]
    public async Task Disk_OnX86_WhereXlChoosesNoAddress_IsAPciFunction()
    {
        await using var rig = new ModelRig();
        await rig.BackendAsync("disk.sock", new EchoDevice());
        await FollowAsync(rig, "/nowhere", async follower =>
        {
            string path = await WriteDiskAsync(rig, rig.Socket("disk.sock"), 0, 0);
            await WaitForStateAsync(rig, path, "2");
            rig.Guest.Unpause();
            Assert.Equal(0x1042_1af4u, await Task.Run(() => rig.Driver.Config(0, 4)));

            // The domain ends: so does everything of it.
            Assert.True(rig.Xen.DestroyDomain(rig.Guest.Id));
            while (follower.Sessions.Count != 0)
                await Task.Yield();
        });
        Assert.Contains(rig.Log.Lines, static line => line.Contains("detached after"));
    }

    [Theory]
    [InlineData("type", "virtio,usb")]
    [InlineData("base", "banana")]
    [InlineData("transport", "pci")]
    public async Task Nodes_ThatMakeNoSense_AreLeftAloneWithOneComplaint(string name, string value)
    {
        await using ModelRig rig = Arm();
        await FollowAsync(rig, "/nowhere", async _ =>
        {
            string path = $"/local/domain/0/backend/virtio/{rig.Guest.Id}/0";
            await rig.Store.TransactionAsync(async (nodes, token) =>
            {
                foreach ((string node, string text) in new[] { ("type", "virtio,device22"), ("base", "0x2000000"), ("irq", "33"), ("transport", "mmio"), ("state", "1"), (name, value) })
                    await nodes.WriteAsync($"{path}/{node}", text, token);
            });
            while (rig.Log.Complaints.Count == 0)
                await Task.Yield();

            Assert.Contains(value, Assert.Single(rig.Log.Complaints));
            Assert.Equal("1", await rig.Store.ReadAsync($"{path}/state"));
        });
    }
}

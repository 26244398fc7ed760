using System.Globalization;
using TestKit;
using XenMemoryProvider.Memory;
using XenModel.Domains;
using XenModel.Ioreq;
using XenVhostMaster.Domains;
using XenVhostMaster.Frontends;
using XenVhostMaster.Transports.Pci;
using static XenVhostMaster.Tests.Domains.ModelRig;

namespace XenVhostMaster.Tests.Domains;

/// <summary>
/// A guest that does what it likes, through the whole stack, beside one that behaves. VHOSTXEN_FUZZ_SEED and
/// VHOSTXEN_FUZZ_MODEL_COUNT choose another guest and how long it goes on.
/// </summary>
public class HostileGuestTests(ITestOutputHelper output)
{
    private static long Setting(string name, long otherwise)
        => long.TryParse(Environment.GetEnvironmentVariable(name), CultureInfo.InvariantCulture, out long value) ? value : otherwise;

    [Fact]
    public async Task Guest_ThatWritesEverything_HarmsItselfAlone()
    {
        int seed = (int)Setting("VHOSTXEN_FUZZ_SEED", 5);
        long count = Setting("VHOSTXEN_FUZZ_MODEL_COUNT", 30_000);
        await using var rig = new ModelRig();
        await rig.BackendAsync("a", new EchoDevice());
        await rig.BackendAsync("b", new EchoDevice());
        GuestSession hostile = await rig.AttachAsync(rig.Device("a"), rig.Device("b"));

        Domain victim = rig.Xen.CreateDomain(new DomainOptions { Name = "victim", MemoryMiB = 16 });
        await using SocketBackend backend = await SocketBackend.StartAsync(rig.Socket("victim"), new EchoDevice(), new XenGuestMemoryProvider(rig.Kernel), rig.BackendLog);
        GuestIdentity identity = (await GuestIdentity.FindAsync(rig.Store, victim.Id, CancellationToken.None))!.Value;
        await using GuestSession other = await GuestSession.AttachAsync(
            rig.Kernel, rig.Store, identity, [new DeviceOptions { Backend = new BackendOptions { Kind = DeviceKind.FromId(42), Socket = rig.Socket("victim") } }], rig.Log, CancellationToken.None).WaitAsync(Deadline);
        victim.Unpause();
        var driver = new PciDriver(victim, 1);
        await Task.Run(() => driver.BringUp(Deadline)).WaitAsync(Deadline);

        Task attack = Task.Run(() => Attack(rig.Guest, new Random(seed), count));
        int echoes = 0;
        await Task.Run(() =>
        {
            while (!attack.IsCompleted || echoes == 0)
            {
                driver.Echo(echoes & 1, Deadline);
                echoes++;
            }
        }).WaitAsync(TimeSpan.FromMinutes(30));
        await attack;
        output.WriteLine($"seed {seed}: {hostile.Counters.Total} requests, {hostile.Counters.Unclaimed} to nobody, {hostile.Counters.Interrupts} interrupts; the other guest's echoes: {echoes}");

        Assert.True(hostile.Counters.Total > count / 2);
        Assert.Null(rig.Guest.CrashReason);
        Assert.DoesNotContain(rig.Log.Lines, static line => line.Contains("handler failed"));

        // What it did is over with a reset.
        await Task.Run(() =>
        {
            rig.Driver.Config(PciConfig.Bar0, 4, 0xfc01_0000);
            rig.Driver.BringUp(Deadline);
            rig.Driver.Echo(0, Deadline);
        }).WaitAsync(Deadline);
    }

    private static void Attack(Domain guest, Random random, long count)
    {
        VcpuIo io = guest.Vcpus[1].Io;
        for (long i = 0; i < count; i++)
        {
            int size = 1 << random.Next(4);
            ulong value = random.Next(3) == 0 ? (ulong)random.NextInt64() : (ulong)random.Next(0x20);
            ulong address = 0xfc01_0000 + (ulong)random.Next(3) * VirtioPciLayout.BarSize + (ulong)random.Next(random.Next(2) == 0 ? 0x40 : (int)VirtioPciLayout.BarSize);
            switch (random.Next(16))
            {
                case 0:
                    io.ConfigWrite(random.Next(2), random.Next(4), random.Next(2), random.Next(256) & ~(Math.Min(size, 4) - 1), Math.Min(size, 4), (uint)value);
                    break;
                case 1:
                    // Both devices stay within reach, now and then on top of each other.
                    io.ConfigWrite(0, 1 + random.Next(2), 0, PciConfig.Bar0, 4, 0xfc01_0000 + (uint)random.Next(3) * VirtioPciLayout.BarSize);
                    io.ConfigWrite(0, 1 + random.Next(2), 0, PciConfig.Command, 2, 2);
                    break;
                case 2:
                    io.ConfigRead(0, random.Next(4), 0, random.Next(256) & ~3, 4);
                    break;
                case 3:
                    io.PortWrite((ushort)(0xcf8 + random.Next(8)), 1 << random.Next(2), (uint)value);
                    break;
                case 4:
                    io.MmioFill(address & ~7ul, 4, (uint)random.Next(1, 64), value);
                    break;
                case 5:
                    io.MmioCopy(address & ~7ul, (ulong)random.Next(0x100_0000), 4, (uint)random.Next(1, 16), read: random.Next(2) == 0);
                    break;
                case < 9:
                    io.MmioRead(address & ~(ulong)(size - 1), size);
                    break;
                case 9:
                    io.MmioWrite((address & ~0xfffful) + VirtioPciLayout.DeviceStatus, 1, random.Next(3) switch { 0 => 0ul, 1 => 0xbul, _ => 0xful });
                    break;
                default:
                    io.MmioWrite(address & ~(ulong)(size - 1), size, value);
                    break;
            }
        }
    }
}

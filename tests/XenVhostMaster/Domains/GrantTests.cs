using TestKit;
using VhostUser.Protocol;
using VhostUser.Session;
using VhostXen.Linux;
using XenMemoryProvider.Kernel;
using XenModel.Drivers;
using XenVhostMaster.Domains;
using XenVhostMaster.Transports;
using XenVhostMaster.Transports.Pci;
using static XenVhostMaster.Tests.Domains.ModelRig;

namespace XenVhostMaster.Tests.Domains;

/// <summary>A guest that grants what the device may touch, and nothing else (Linux with grant_usage=1).</summary>
public class GrantTests
{
    private const ulong AccessPlatform = 1UL << 33;

    [Fact]
    public unsafe void Regions_OfRings_AreMappedInAdvanceAndTheRestOnDemand()
    {
        using FileDescriptor file = MemFd.Create("none", 0);
        const ulong bit = GuestRegions.GrantBit;
        IReadOnlyList<FrontendRegion> regions = GuestRegions.Grants(3, [(bit + 0x5000, 0x1000), (bit + 0x6010, 70), (bit + 0x6080, 70), (bit + 0x9000, 4), (0x1000, 64)], () => file);

        Assert.Equal(
            [(bit, 0x5000ul, true), (bit + 0x5000, 0x2000ul, false), (bit + 0x7000, 0x2000ul, true), (bit + 0x9000, 0x1000ul, false), (bit + 0xa000, (1UL << 44) - 0xa000, true)],
            regions.Select(static region => (region.Region.GuestAddress.Value, region.Region.Size, (region.Region.XenFlags & XenMmapFlags.NoAdvanceMap) != 0)));
        Assert.All(regions, static region => Assert.Equal(3u, region.Region.XenDomain));
    }

    [Fact]
    public async Task Echo_ThroughGrantedRingsAndBuffers_LeavesNothingMappedAfterAReset()
    {
        await using var rig = new ModelRig();
        await rig.BackendAsync("echo", new EchoDevice(1));
        await rig.AttachAsync(rig.Device("echo", grants: true));
        await Task.Run(() => Drive(rig)).WaitAsync(Deadline);
        Assert.Empty(rig.Log.Complaints);
    }

    private static unsafe void Drive(ModelRig rig)
    {
        PciDriver driver = rig.Driver;
        driver.Probe();
        driver.Common(VirtioPciLayout.DeviceFeatureSelect, 4, 1);
        Assert.NotEqual(0ul, driver.Common(VirtioPciLayout.DeviceFeature, 4) & (uint)(AccessPlatform >> 32));

        using IGntalloc gntalloc = new ModelXenKernel(rig.Xen, rig.Guest).OpenGntalloc();
        uint[] references = new uint[4];
        using XenMapping pages = gntalloc.Allocate(0, writable: true, references);
        ulong[] at = [.. references.Select(static reference => GuestRegions.GrantBit | (ulong)reference << 12)];

        // Twice, with a reset between: the second life gets the same pages.
        for (int life = 0; life < 2; life++)
        {
            new Span<byte>(pages.Pointer, 4 * XenPage.Size).Clear();
            driver.Common(VirtioPciLayout.DeviceStatus, 1, 3);
            driver.Common(VirtioPciLayout.DriverFeatureSelect, 4, 1);
            driver.Common(VirtioPciLayout.DriverFeature, 4, 1 | AccessPlatform >> 32);
            driver.Common(VirtioPciLayout.DeviceStatus, 1, 0xb);
            Assert.Equal(0xb, (int)driver.Status);
            driver.Common(VirtioPciLayout.QueueSize, 2, 16);
            driver.Common(VirtioPciLayout.QueueMsixVector, 2, 1);
            driver.Common(VirtioPciLayout.QueueDesc, 8, at[0]);
            driver.Common(VirtioPciLayout.QueueDriver, 8, at[1]);
            driver.Common(VirtioPciLayout.QueueDevice, 8, at[2]);
            driver.Common(VirtioPciLayout.QueueEnable, 2, 1);
            driver.Common(VirtioPciLayout.DeviceStatus, 1, 0xf);

            byte* descriptors = pages.Pointer, available = descriptors + XenPage.Size, used = available + XenPage.Size, buffers = used + XenPage.Size;
            for (ushort request = 0; request < 20; request++)
            {
                Random.Shared.NextBytes(new Span<byte>(buffers, 100));
                *(ulong*)descriptors = at[3];
                *(uint*)(descriptors + 8) = 100;
                *(uint*)(descriptors + 12) = 1 | 1 << 16;
                *(ulong*)(descriptors + 16) = at[3] + 0x800;
                *(uint*)(descriptors + 24) = 100;
                *(uint*)(descriptors + 28) = 2;
                Volatile.Write(ref *(ushort*)(available + 2), (ushort)(request + 1));
                driver.Kick(0);
                driver.WaitForInterrupt(driver.Vector(0), Deadline);
                Assert.Equal(request + 1, Volatile.Read(ref *(ushort*)(used + 2)));
                Assert.True(new Span<byte>(buffers, 100).SequenceEqual(new Span<byte>(buffers + 0x800, 100)), "what came back is what went");
            }

            driver.Reset(Deadline);
            Assert.Equal(VirtioStatus.None, driver.Status);
        }
    }
}

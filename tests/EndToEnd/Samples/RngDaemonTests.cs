using GuestKit;
using Xunit;

namespace EndToEnd.Samples;

/// <summary>The sample back-end of docs/your-own-backend.md serves a guest through QEMU's own vhost-user-rng front-end.</summary>
[Trait("Category", "Qemu")]
public sealed class RngDaemonTests
{
    [Fact]
    public Task Rng_ReadByTheGuest_GivesRandomBytes() => GuestRun.RunAsync("rng", async run =>
    {
        string program = Path.Combine(Repository.Root, "samples", "RngDaemon", "bin", Repository.Configuration, "net10.0", "vhost-rng");
        string socket = run.PathOf("rng.sock");
        DaemonProcess daemon = await DaemonProcess.StartAsync(run, "vhost-rng", new CommandLine(program, [socket]), [socket]);
        QemuOptions options = new()
        {
            HasEntropyDevice = false,
            ExtraArguments = ["-chardev", $"socket,id=rng,path={socket}", "-device", "vhost-user-rng-pci,chardev=rng"],
        };

        GuestReport report = await QemuGuest.RunJobAsync(run, options, """
            rng=/sys/class/misc/hw_random
            value available $(cat $rng/rng_available)
            take() { dd if=/dev/hwrng of=/tmp/random bs=4096 count=64 iflag=fullblock 2>/dev/null; }
            step take take
            value bytes $(stat -c %s /tmp/random)
            value packed-to $(gzip -c /tmp/random | wc -c)
            """, TimeSpan.FromMinutes(2));

        Assert.Equal("virtio_rng.0", report.Value("available"));
        Assert.Equal("262144", report.Value("bytes"));
        Assert.True(int.Parse(report.Value("packed-to"), null) > 262144, "what came can be compressed: it is not random");
        Assert.Equal(0, await daemon.StopAsync(TimeSpan.FromSeconds(5)));
    });
}

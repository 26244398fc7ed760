using XenVhostMaster.Domains;
using XenVhostMaster.Hosting;

namespace XenVhostMaster.Tests.Hosting;

public class CommandLineTests
{
    private static MasterOptions Parse(params string[] arguments) => new CommandLine().Parse(arguments, TextWriter.Null)!;

    private static string Complaint(params string[] arguments) => Assert.Throws<OptionsException>(() => Parse(arguments)).Message;

    [Fact]
    public void Domain_WithTwoDevices_IsOneGuest()
    {
        MasterOptions options = Parse("--domain=vm1", "--device=block,socket=/run/a.sock,slot=4,queues=2,queue-size=1024", "--device", "net,socket=/run/b.sock,grants=on");

        GuestOptions guest = Assert.Single(options.Guests);
        Assert.Equal("vm1", guest.Domain);
        Assert.Equal((2u, "/run/a.sock", 4, 2, (ushort)1024), (guest.Devices[0].Backend.Kind.Id, guest.Devices[0].Backend.Socket, guest.Devices[0].Slot, guest.Devices[0].Backend.Queues, guest.Devices[0].Backend.QueueSize));
        Assert.Equal((1u, true), (guest.Devices[1].Backend.Kind.Id, guest.Devices[1].Backend.Grants));
    }

    [Theory]
    [InlineData("device22,socket=/s", 0x22)]
    [InlineData("41,socket=/s", 41)]
    [InlineData("vsock,socket=/s", 19)]
    public void Device_OfAnyType_HasItsId(string text, uint id) => Assert.Equal(id, DeviceText.Parse(text).Backend.Kind.Id);

    [Fact]
    public void Device_OnMmio_HasItsPlace()
    {
        DeviceOptions device = DeviceText.Parse("block,socket=/s,transport=mmio,base=0x2000000,irq=33");

        Assert.Equal((TransportKind.Mmio, 0x200_0000ul, 33u), (device.Transport, device.MmioBase, device.Irq));
    }

    [Theory]
    [InlineData("disk,socket=/s", "no device type")]
    [InlineData("0,socket=/s", "no device type")]
    [InlineData("64,socket=/s", "no device type")]
    [InlineData("block", "needs socket=")]
    [InlineData("block,socket", "KEY=VALUE")]
    [InlineData("block,socket=/s,slot=32", "from 1 to 31")]
    [InlineData("block,socket=/s,slot=0", "from 1 to 31")]
    [InlineData("block,socket=/s,queue-size=100", "power of two")]
    [InlineData("block,socket=/s,transport=usb", "no transport")]
    [InlineData("block,socket=/s,transport=mmio", "needs base=")]
    [InlineData("block,socket=/s,transport=mmio,base=0x2000001,irq=33", "multiple")]
    [InlineData("block,socket=/s,irq=5", "belong to transport=mmio")]
    [InlineData("block,socket=/s,colour=red", "no option of a device")]
    public void Device_ThatMakesNoSense_IsOneLine(string text, string complaint)
    {
        string message = Assert.Throws<OptionsException>(() => DeviceText.Parse(text)).Message;
        Assert.Contains(complaint, message);
        Assert.DoesNotContain('\n', message);
    }

    [Fact]
    public void Options_ThatMakeNoSense_AreOneLine()
    {
        Assert.Contains("--domain", Complaint());
        Assert.Contains("--device", Complaint("--domain=a"));
        Assert.Contains("--frobnicate", Complaint("--domain=a", "--frobnicate"));
        Assert.Contains("slot 3", Complaint("--domain=a", "--device=block,socket=/a,slot=3", "--device=block,socket=/b,slot=3"));
        Assert.Contains("excludes", Complaint("--config=/nowhere", "--domain=a"));
        Assert.Contains("xl create", Complaint("run", "--device=block,socket=/a", "--", "xl", "destroy", "a"));
    }

    [Fact]
    public void Ctl_TakesACommandAndASocket()
    {
        MasterOptions options = Parse("ctl", "--control=/run/c", "attach", "vm1", "block,socket=/s");

        Assert.Equal("/run/c", options.Control);
        Assert.Equal(["attach", "vm1", "block,socket=/s"], options.ControlCommand);
        Assert.Equal(MasterOptions.DefaultControl, Parse("ctl", "list").Control);
    }

    [Fact]
    public void Run_FindsTheGuestsNameInItsConfiguration()
    {
        string file = Path.GetTempFileName();
        try
        {
            File.WriteAllText(file, "type = \"pvh\"\nname = \"web-1\"  # the name\nmemory = 256\n");
            MasterOptions options = Parse("run", "--device=block,socket=/a", "--", "xl", "create", "-q", file);

            Assert.Equal("web-1", options.Guests[0].Domain);
            Assert.Equal(["xl", "create", "-q", file], options.Command);
            Assert.Equal("other", Parse("run", "--device=block,socket=/a", "--", "xl", "create", file, "name='other'").Guests[0].Domain);
        }
        finally
        {
            File.Delete(file);
        }
    }

    [Fact]
    public void Config_WithTwoGuests_IsTwoGuests()
    {
        string file = Path.GetTempFileName();
        try
        {
            File.WriteAllText(file, """{ "Guests": [ { "Domain": "a", "Devices": ["block,socket=/a"] }, { "Domain": "b", "Devices": ["net,socket=/b", "block,socket=/c"] } ] }""");
            Assert.Equal([1, 2], Parse($"--config={file}").Guests.Select(static guest => guest.Devices.Count));

            File.WriteAllText(file, """{ "Guests": [ { "Domain": "a", "Devices": ["block"] } ] }""");
            Assert.Contains("socket=", Complaint($"--config={file}"));
            File.WriteAllText(file, """{ "Guests": [ { "Domain": "a" """);
            Assert.StartsWith(file, Complaint($"--config={file}"));
        }
        finally
        {
            File.Delete(file);
        }
    }

    [Fact]
    public void Help_And_Version_ArePrinted()
    {
        var output = new StringWriter();
        Assert.Null(new CommandLine().Parse(["--help"], output));
        Assert.Contains("xl create vm1.cfg", output.ToString());
        Assert.Null(new CommandLine().Parse(["--version"], output));
    }
}

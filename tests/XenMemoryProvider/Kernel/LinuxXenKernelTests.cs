using XenMemoryProvider.Kernel;
using Xunit;
using static VhostXen.Linux.LibC;

namespace XenMemoryProvider.Tests.Kernel;

public sealed class LinuxXenKernelTests
{
    public static TheoryData<string, string> Devices => new()
    {
        { "privcmd", "xen-privcmd" }, { "gntdev", "xen-gntdev" }, { "gntalloc", "xen-gntalloc" }, { "evtchn", "xen-evtchn" },
    };

    [Theory]
    [MemberData(nameof(Devices))]
    public void Open_NoXen_NamesDeviceModuleAndErrno(string device, string module)
    {
        Assert.SkipWhen(File.Exists($"/dev/xen/{device}"), "this is a Xen domain");
        var kernel = new LinuxXenKernel();

        XenException e = Assert.Throws<XenException>(() => device switch
        {
            "privcmd" => kernel.OpenPrivcmd(),
            "gntdev" => kernel.OpenGntdev(),
            "gntalloc" => kernel.OpenGntalloc(),
            _ => (IDisposable)kernel.OpenEvtchn(),
        });

        Assert.Equal(ENOENT, e.Errno);
        Assert.Equal($"open /dev/xen/{device}: ENOENT (No such file or directory). Is this a Xen domain with the module {module} loaded?", e.Message);
    }

    [Fact]
    public void OpenXenstore_NoDaemon_SaysSo()
    {
        Assert.SkipWhen(File.Exists("/dev/xen/xenbus") || File.Exists("/var/run/xenstored/socket"), "this is a Xen domain");

        XenException e = Assert.Throws<XenException>(() => new LinuxXenKernel().OpenXenstore());

        Assert.Equal(ENOENT, e.Errno);
        Assert.Contains("xenstored", e.Message);
    }

    [Fact]
    public void Check_Error_CarriesCallDomainAndName()
    {
        XenException e = Assert.Throws<XenException>(() => XenException.Check(-ESRCH, "MMAPBATCH_V2", 7));

        Assert.Equal("MMAPBATCH_V2 for domain 7: ESRCH (No such process)", e.Message);
        Assert.Equal((ESRCH, (ushort?)7), (e.Errno, e.Domid));
        Assert.Equal(5, XenException.Check(5, "x"));
    }
}

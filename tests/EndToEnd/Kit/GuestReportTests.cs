using GuestKit;
using Xunit;

namespace EndToEnd.Kit;

public sealed class GuestReportTests
{
    private static GuestReport Parse(params string[] lines)
    {
        var report = new GuestReport();
        foreach (string line in lines)
            report.Add(line);
        return report;
    }

    [Fact]
    public void Report_JobThatEndsWell_Succeeds()
    {
        GuestReport report = Parse(
            "VHOSTXEN: up 2.16 6.1.0-cloud", "VHOSTXEN: begin mkfs", "some output", "VHOSTXEN: step mkfs ok 0.52", "VHOSTXEN: done ok");

        Assert.True(report.Succeeded);
        Assert.Equal(2.16, report.UpAfterSeconds);
        Assert.Equal([new GuestStep("mkfs", true, 0, TimeSpan.FromSeconds(0.52))], report.Steps);
    }

    [Fact]
    public void Report_FailedStep_KeepsItsExitCode()
    {
        GuestReport report = Parse("VHOSTXEN: begin fio", "VHOSTXEN: step fio FAIL 84", "VHOSTXEN: done FAIL");

        Assert.True(report.Done);
        Assert.False(report.Succeeded);
        Assert.Equal(84, Assert.Single(report.Steps).ExitCode);
    }

    [Fact]
    public void Report_WithoutAnEnd_IsNotDone() =>
        Assert.False(Parse("VHOSTXEN: begin mkfs", "VHOSTXEN: step mkfs ok 0.52").Done);

    [Fact]
    public void Value_ReportedTwice_IsTheLast() =>
        Assert.Equal("two words", Parse("VHOSTXEN: value x 1", "VHOSTXEN: value x two words").Value("x"));

    [Fact]
    public void Value_Empty_IsEmpty() => Assert.Equal("", Parse("VHOSTXEN: value serial ").Value("serial"));

    [Fact]
    public void Add_MarkerBehindOtherConsoleOutput_IsFound() =>
        Assert.True(Parse("\u001b[0m[    1.0] VHOSTXEN: await host\r").Awaits("host"));

    [Theory]
    [InlineData("plain output")]
    [InlineData("VHOSTXEN: nonsense")]
    [InlineData("VHOSTXEN: ")]
    public void Add_LineThatIsNoReport_IsRefused(string line) => Assert.False(new GuestReport().Add(line));
}

using System.Diagnostics;
using GuestKit;
using Xunit;

namespace EndToEnd.Xen;

/// <summary>What `./demo.sh` shows, every step of it briefly: Xen (the user-space one), master, daemons and guests in their processes.</summary>
public sealed class DemoTests(ITestOutputHelper output)
{
    private static readonly string Program = Path.Combine(Repository.Root, "tests", "Demo", "bin", Repository.Configuration, "net10.0", "Demo.dll");

    [Fact]
    public async Task Demo_EveryStepBriefly_VerifiesAll()
    {
        var start = new ProcessStartInfo("dotnet", [Program, "--quick"]) { RedirectStandardOutput = true, RedirectStandardError = true };
        using Process demo = Process.Start(start)!;
        Task<string> errors = demo.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        string text = await demo.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await demo.WaitForExitAsync(TestContext.Current.CancellationToken);
        output.WriteLine(text);
        Assert.True(demo.ExitCode == 0, text + await errors);
        Assert.Contains("all good", text);
        Assert.Contains("killed with SIGKILL", text);
        Assert.DoesNotContain("FAIL", text);
    }
}

using System.Diagnostics;
using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using XenMemoryProvider.Kernel.Sockets;
using Xunit;
using static XenModel.Tests.ModelFixture;

namespace XenModel.Tests;

public sealed class ServeProcessTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("xenmodel-").FullName;

    private string Socket => Path.Combine(_directory, "xen.sock");

    private string Xenstore => Path.Combine(_directory, "xenstore.sock");

    [Fact]
    public async Task Serve_CreatesItsDomains_AndEndsBySigterm()
    {
        using Process process = Start("serve", "--socket", Socket, "--xenstore-socket", Xenstore, "--domain", "name=vm1,memory=16,vcpus=2", "--domain", "name=vm2,type=hvm");
        await ServingAsync(process);
        var kernel = new SocketXenKernel(Socket);
        Assert.Contains("vm2", kernel.Command("list"));
        using (IPrivcmd privcmd = kernel.OpenPrivcmd())
        {
            var call = new DmOp.Call { Op = DmOp.Command.NrVcpus };
            Assert.Equal(0, privcmd.DmOp(1, ref call));
            Assert.Equal(2u, call.NrVcpus.Vcpus);
            using XenMapping all = privcmd.MapForeign(1, [.. Enumerable.Range(0, 4096).Select(gfn => (ulong)gfn)], 3, new int[4096], TimeSpan.Zero);
            all.Memory.Span.Fill(0x5a);
        }

        Terminate(process.Id);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken).WaitAsync(Deadline, TestContext.Current.CancellationToken);
        Assert.Equal(0, process.ExitCode);
        Assert.Empty(Directory.GetFiles(_directory));
    }

    [Fact]
    public async Task Serve_AfterOneThatWasKilled_TakesItsPlace()
    {
        using (Process first = Start("serve", "--socket", Socket))
        {
            await ServingAsync(first);
            first.Kill();
            await first.WaitForExitAsync(TestContext.Current.CancellationToken);
        }

        Assert.True(File.Exists(Socket));
        using Process second = Start("serve", "--socket", Socket);
        await ServingAsync(second);
        Assert.Contains("Domain-0", new SocketXenKernel(Socket).Command("list"));
        second.Kill();
    }

    [Theory]
    [InlineData("serve")]
    [InlineData("serve", "--socket", "/nonexistent/x")]
    [InlineData("serve", "--socket", "x", "--domain", "memory=lots")]
    [InlineData("serve", "--socket", "x", "--dom0", "hvm")]
    [InlineData("control", "--socket", "/nonexistent/x", "list")]
    [InlineData("conquer")]
    public async Task WrongArguments_OneLineAndFailure(params string[] arguments)
    {
        using Process process = Start(arguments);
        string errors = await process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken).WaitAsync(Deadline, TestContext.Current.CancellationToken);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.NotEqual(0, process.ExitCode);
        Assert.NotEmpty(errors);
    }

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    private static void Terminate(int process) => Assert.Equal(0, Kill(process, 15));

    [System.Runtime.InteropServices.DllImport("libc", EntryPoint = "kill")]
    private static extern int Kill(int process, int signal);

    private Process Start(params string[] arguments)
    {
        var start = new ProcessStartInfo(Path.Combine(AppContext.BaseDirectory, "xenmodel"), arguments)
        {
            RedirectStandardError = true,
            RedirectStandardOutput = true,
            WorkingDirectory = _directory,
        };
        return Process.Start(start)!;
    }

    private static async Task ServingAsync(Process process)
    {
        while (true)
        {
            string? line = await process.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken).AsTask().WaitAsync(Deadline, TestContext.Current.CancellationToken);
            Assert.NotNull(line);
            if (line.Contains("serving")) return;
        }
    }
}

using System.Diagnostics;
using System.Net.Sockets;
using VhostXen.Linux;

namespace Backends.Block.Tests;

/// <summary>The program as a process: what it prints where, and how it ends.</summary>
public sealed class ProgramTests : IDisposable
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);
    private readonly TestFile _file = new(1 << 20);
    private readonly string _socket = Path.Combine(Path.GetTempPath(), $"vhostxen-{Guid.NewGuid():n}.sock");

    public void Dispose()
    {
        _file.Dispose();
        File.Delete(_socket);
    }

    [Theory]
    [InlineData(2, "--socket-path", "--blk-file=x")]
    [InlineData(2, "--no-such-option")]
    [InlineData(2, "--config=/nowhere/vhostxen.json")]
    [InlineData(1, "--socket-path=/tmp/never.sock", "--blk-file=/nowhere/disk.img")]
    [InlineData(1, "--fd=77", "--store=null:1M")]
    [InlineData(1, "--socket-path=/nowhere/a.sock", "--store=null:1M")]
    [InlineData(2, "--socket-path=/tmp/never.sock", "--store=null:1M", "--xen=sometimes")]
    public void Start_ThatCannotBe_IsOneLineAndACode(int code, params string[] arguments)
    {
        using Process process = Start(["--log-level=Warning", .. arguments]);
        string error = process.StandardError.ReadToEnd();
        Assert.Equal("", process.StandardOutput.ReadToEnd());
        Assert.True(process.WaitForExit(Deadline));
        Assert.Equal(code, process.ExitCode);
        Assert.StartsWith("vhostxen-blk: ", error, StringComparison.Ordinal);
        Assert.Equal(error.Length - 1, error.IndexOf('\n', StringComparison.Ordinal));
    }

    [Fact]
    public void PrintCapabilities_Always_EndsWellWithJsonAlone()
    {
        using Process process = Start("--print-capabilities", "--socket-path=/nowhere/x");
        Assert.Equal("{\"type\":\"block\",\"features\":[\"read-only\",\"blk-file\"]}\n", process.StandardOutput.ReadToEnd());
        Assert.Equal("", process.StandardError.ReadToEnd());
        Assert.True(process.WaitForExit(Deadline));
        Assert.Equal(0, process.ExitCode);
    }

    [Fact]
    public void SecondDaemon_SameImage_IsTurnedAway()
    {
        using Process first = Start($"--socket-path={_socket}", $"--blk-file={_file.Path}");
        WaitUntilListening(first);
        using Process second = Start($"--socket-path={_socket}2", $"--blk-file={_file.Path}");
        Assert.Contains("is in use", second.StandardError.ReadToEnd(), StringComparison.Ordinal);
        Assert.True(second.WaitForExit(Deadline));
        Assert.Equal(1, second.ExitCode);
        End(first);
    }

    [Fact]
    public void Sigterm_WithAndWithoutFrontEnd_EndsAtOnceAndRemovesTheSocket()
    {
        foreach (bool connected in (bool[])[false, true])
        {
            using Process process = Start($"--socket-path={_socket}", $"--blk-file={_file.Path}");
            WaitUntilListening(process);
            using Socket frontEnd = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            if (connected)
                frontEnd.Connect(new UnixDomainSocketEndPoint(_socket));

            End(process);
            Assert.False(File.Exists(_socket));
        }
    }

    // A front-end sends its own end of the connection as the back-end's channel and goes: the daemon would keep itself busy.
    [Fact]
    public void FrontEnd_SendsItsOwnEndAndGoes_TheNextIsServed()
    {
        using Process process = Start($"--socket-path={_socket}", $"--blk-file={_file.Path}");
        WaitUntilListening(process);
        using (FileDescriptor first = FdSocket.Connect(_socket))
        {
            // SET_PROTOCOL_FEATURES with REPLY_ACK and BACKEND_REQ, then SET_BACKEND_REQ_FD, which is refused.
            FdSocket.SendWithFds(first, [16, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 0x28, 0, 0, 0, 0, 0, 0, 0], []);
            FdSocket.SendWithFds(first, [21, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0], [first.Value]);
            byte[] reply = new byte[20];
            Assert.Equal(20, FdSocket.ReceiveWithFds(first, reply, [], 0, LibC.MSG_WAITALL, out _));
            Assert.Equal(1, reply[12]);
        }

        using FileDescriptor second = FdSocket.Connect(_socket);
        FdSocket.SendWithFds(second, [1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0], []);
        Span<pollfd> poll = [new pollfd { fd = second.Value, events = LibC.POLLIN }];
        Assert.Equal(1, FileIO.Poll(poll, (int)Deadline.TotalMilliseconds));
        End(process);
    }

    private static void End(Process process)
    {
        Assert.Equal(0, LibC.kill(process.Id, LibC.SIGTERM));
        Assert.True(process.WaitForExit(Deadline));
        Assert.Equal(0, process.ExitCode);
    }

    private static void WaitUntilListening(Process process)
    {
        while (process.StandardError.ReadLine() is { } line)
        {
            if (line.Contains("listening on", StringComparison.Ordinal))
                return;
        }

        Assert.Fail($"the daemon ended with {process.ExitCode}");
    }

    private static Process Start(params string[] arguments)
        => Process.Start(new ProcessStartInfo(Path.Combine(AppContext.BaseDirectory, "vhostxen-blk"), arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
}

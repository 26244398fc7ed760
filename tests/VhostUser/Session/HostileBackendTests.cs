using TestKit;
using VhostUser.Protocol;
using VhostUser.Session;
using VhostXen.Linux;
using Xunit;

namespace VhostUser.Tests.Session;

/// <summary>Back-ends that do not keep their side of it.</summary>
public sealed class HostileBackendTests
{
    [Fact]
    public async Task SaveState_PipeNeverClosed_EndsInTimeAndLeavesNoThread()
    {
        (FileDescriptor ours, FileDescriptor theirs) = FdSocket.Pair();
        await using var session = new FrontendSession(ours, new FrontendOptions { DrainTimeout = TimeSpan.FromMilliseconds(300) });
        using var backend = new VhostUserSocket(theirs);
        Task<byte[]> save = session.SaveStateAsync(cancellation: TestContext.Current.CancellationToken);
        using VhostUserMessage? request = await backend.ReceiveAsync(static _ => 64, TestContext.Current.CancellationToken);
        await backend.SendAsync(request!.Header.Request, MessageFlags.Reply, new UInt64Payload(DeviceStateTransfer.NoFdReturned), null, CancellationToken.None);

        // The pipe's end stays open in the request.
        await Assert.ThrowsAsync<FrontendException>(() => save.WaitAsync(RawFrontend.Deadline, TestContext.Current.CancellationToken));
        Assert.Equal(1, request.Fds.Count);
    }
}

using System.Diagnostics;
using TestKit;
using VhostUser.Protocol;
using VhostUser.Session;
using VhostXen.Linux;
using Xunit;

namespace VhostUser.Tests.Session;

/// <summary>
/// A back-end may be as broken or as malicious as a front-end. Whatever it does, the caller gets a
/// <see cref="FrontendException"/> in time, and nothing that the back-end sent stays open.
/// </summary>
public sealed class FrontendHostileBackendTests : IAsyncLifetime
{
    private static readonly TimeSpan Timeout = TimeSpan.FromMilliseconds(400);
    private readonly ScriptedBackend _backend = new();
    private readonly FrontendRecorder _handler = new();
    private readonly RecordingLogger _log = new();
    private FrontendSession _frontend = null!;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public ValueTask InitializeAsync()
    {
        _frontend = new FrontendSession(_backend.Theirs, new FrontendOptions { Timeout = Timeout, DrainTimeout = Timeout, Handler = _handler }, _log);
        return ValueTask.CompletedTask;
    }

    public async ValueTask DisposeAsync()
    {
        await _frontend.DisposeAsync();
        await _backend.DisposeAsync();
    }

    [Fact]
    public async Task Backend_Silent_IsGivenUpInTime()
    {
        _backend.On(FrontendRequest.GetFeatures, static _ => Task.CompletedTask);
        var clock = Stopwatch.StartNew();
        await FailsAsync(() => _frontend.NegotiateAsync(Cancel), "did not answer GET_FEATURES");
        Assert.InRange(clock.Elapsed, TimeSpan.FromMilliseconds(300), RawFrontend.Deadline);

        // Its answer could still come, so this connection is over, and says so at once.
        await FailsAsync(() => _frontend.NegotiateAsync(Cancel), "GET_FEATURES");
        await _frontend.Closed.WaitAsync(RawFrontend.Deadline, Cancel);
    }

    [Fact]
    public async Task Backend_AnswersTooLate_ItsDescriptorsAreClosed()
    {
        await NegotiateAsync();
        using var probe = new DescriptorProbe();
        var answered = new TaskCompletionSource();
        var late = new TaskCompletionSource();
        _backend.On(FrontendRequest.GetInflightFd, async message =>
        {
            await late.Task;
            try
            {
                await _backend.ReplyAsync(message.Header.Request, Bytes(new InflightDescription(4096, 0, 1, 16)), probe.Descriptor);
            }
            catch (IOException)
            {
                // The front-end has hung up, which is as good.
            }

            answered.SetResult();
        });
        await FailsAsync(() => _frontend.GetInflightAsync(1, 16, Cancel), "did not answer GET_INFLIGHT_FD");
        late.SetResult();
        await answered.Task.WaitAsync(RawFrontend.Deadline, Cancel);
        await _frontend.DisposeAsync();
        Assert.True(probe.IsClosedByPeer(RawFrontend.Deadline));
    }

    [Fact]
    public async Task Backend_HangsUp_EndsTheWait()
    {
        await NegotiateAsync();
        _backend.On(FrontendRequest.SetFeatures, _ =>
        {
            _backend.HangUp();
            return Task.CompletedTask;
        });
        await FailsAsync(() => _frontend.SetFeaturesAsync(VirtioFeatures.Version1, Cancel), "hung up before SET_FEATURES");
        Assert.Null(await _frontend.Closed.WaitAsync(RawFrontend.Deadline, Cancel));
        await FailsAsync(() => _frontend.GetStatusAsync(Cancel), "GET_STATUS");
    }

    [Fact]
    public async Task Backend_HangsUpInsideItsAnswer_IsSaid()
    {
        _backend.On(FrontendRequest.GetFeatures, _ =>
        {
            _backend.SendRaw([1, 0, 0, 0, 5, 0, 0, 0, 8, 0, 0, 0, 1, 2]);
            _backend.HangUp();
            return Task.CompletedTask;
        });
        await FailsAsync(() => _frontend.NegotiateAsync(Cancel), "the connection ended inside its payload");
    }

    [Theory]
    [InlineData(0UL)]
    [InlineData(1025UL)]
    [InlineData(ulong.MaxValue)]
    public async Task Queues_ImpossibleNumber_IsRefused(ulong queues)
    {
        _backend.On(FrontendRequest.GetQueueNum, BitConverter.GetBytes(queues));
        await FailsAsync(() => _frontend.NegotiateAsync(Cancel), $"claims {queues} queues");
    }

    [Theory]
    [InlineData("01000000 05000000 04000000 00000000", "GET_FEATURES")]
    [InlineData("01000000 05000000 09000000 000000000000000000", "GET_FEATURES")]
    [InlineData("02000000 05000000 08000000 0000000000000000", "nobody asked for")]
    [InlineData("01000000 01000000 08000000 0000000000000000", "nobody asked for")]
    [InlineData("01000000 06000000 08000000 0000000000000000", "version 2")]
    [InlineData("01000000 85000000 08000000 0000000000000000", "reserved header flags")]
    [InlineData("01000000 05000000 ffffffff", "payload of 4294967295 bytes")]
    public async Task Answer_Malformed_IsSaid(string hex, string cause)
    {
        _backend.On(FrontendRequest.GetFeatures, _ =>
        {
            _backend.SendRaw(Convert.FromHexString(hex.Replace(" ", "", StringComparison.Ordinal)));
            return Task.CompletedTask;
        });
        await FailsAsync(() => _frontend.NegotiateAsync(Cancel), cause);
    }

    [Fact]
    public async Task Answer_ThatNobodyAskedFor_EndsTheConnection()
    {
        await NegotiateAsync();
        _backend.SendRaw(Convert.FromHexString("010000000500000008000000" + "0000000000000000"));
        Assert.IsType<ProtocolException>(await _frontend.Closed.WaitAsync(RawFrontend.Deadline, Cancel));
        await FailsAsync(() => _frontend.GetStatusAsync(Cancel), "nobody asked for");
    }

    [Fact]
    public async Task Answer_WithDescriptorsNobodyExpects_TheyAreClosed()
    {
        await NegotiateAsync();
        using var status = new DescriptorProbe();
        _backend.On(FrontendRequest.GetStatus, BitConverter.GetBytes(3UL), status.Descriptor);
        Assert.Equal(3, await _frontend.GetStatusAsync(Cancel));
        Assert.True(status.IsClosedByPeer(RawFrontend.Deadline));
    }

    [Theory]
    [InlineData("", "has no configuration space")]
    [InlineData("00000000 00000000 00000000", "has no configuration space")]
    [InlineData("00000000 03000000 00000000 112233", "answered with 3 at 0")]
    [InlineData("00000000 04000000 00000000 112233", "answered wrongly")]
    [InlineData("00000000 04000000 00000000 1122334455", "answered wrongly")]
    [InlineData("04000000 04000000 00000000 11223344", "answered with 4 at 4")]
    public async Task Config_AnsweredOtherwise_IsSaid(string hex, string cause)
    {
        await NegotiateAsync();
        _backend.On(FrontendRequest.GetConfig, Convert.FromHexString(hex.Replace(" ", "", StringComparison.Ordinal)));
        await FailsAsync(() => _frontend.GetConfigAsync(0, 4, Cancel), cause);
    }

    [Fact]
    public async Task Config_BackendThatIgnoresTheOffset_IsReadRight()
    {
        await NegotiateAsync();
        _backend.On(FrontendRequest.GetConfig, message =>
        {
            MessageReader reader = message.Reader("GET_CONFIG");
            ConfigDescription asked = reader.ReadPayload<ConfigDescription>();
            byte[] space = [.. Enumerable.Range(0, (int)asked.Size).Select(static i => (byte)i)];
            return _backend.ReplyAsync(message.Header.Request, [.. Bytes(asked), .. space]);
        });
        Assert.Equal([8, 9, 10], await _frontend.GetConfigAsync(8, 3, Cancel));
    }

    [Fact]
    public async Task Inflight_WithoutItsFile_IsSaid()
    {
        await NegotiateAsync();
        _backend.On(FrontendRequest.GetInflightFd, Bytes(new InflightDescription(4096, 0, 1, 16)));
        await FailsAsync(() => _frontend.GetInflightAsync(1, 16, Cancel), "made no in-flight region");
        using var probe = new DescriptorProbe();
        _backend.On(FrontendRequest.GetInflightFd, Bytes(new InflightDescription(0, 0, 1, 16)), probe.Descriptor);
        await FailsAsync(() => _frontend.GetInflightAsync(1, 16, Cancel), "made no in-flight region");
        Assert.True(probe.IsClosedByPeer(RawFrontend.Deadline));
    }

    [Fact]
    public async Task VringBase_OfAnotherRing_IsSaid()
    {
        await NegotiateAsync();
        _backend.On(FrontendRequest.GetVringBase, Bytes(new VringState(3, 17)));
        await FailsAsync(() => _frontend.StopRingAsync(0, Cancel), "answered for ring 3");
    }

    [Fact]
    public async Task VringBase_NeverAnswered_EndsWithTheDrainDeadline()
    {
        await NegotiateAsync();
        _backend.On(FrontendRequest.GetVringBase, static _ => Task.CompletedTask);
        await FailsAsync(() => _frontend.StopRingAsync(0, Cancel), "did not answer GET_VRING_BASE");
    }

    [Fact]
    public async Task State_BackendKeepsThePipeOpen_EndsWithTheDrainDeadline()
    {
        await NegotiateAsync();
        FileDescriptor? kept = null;
        _backend.On(FrontendRequest.SetDeviceStateFd, message =>
        {
            kept = message.Fds.Take();
            return _backend.ReplyAsync(message.Header.Request, BitConverter.GetBytes(DeviceStateTransfer.NoFdReturned));
        });
        await FailsAsync(() => _frontend.SaveStateAsync(cancellation: Cancel), "did not transfer its state");
        kept!.Dispose();

        // More than the pipe holds, and nobody reads.
        await FailsAsync(() => _frontend.LoadStateAsync(new byte[1 << 20], Cancel), "did not transfer its state");
        kept.Dispose();
    }

    [Fact]
    public async Task State_BackendSendsAPipeOfItsOwn_IsReadFromThere()
    {
        await NegotiateAsync();
        (FileDescriptor ours, FileDescriptor theirs) = FdSocket.Pair();
        _backend.On(FrontendRequest.SetDeviceStateFd, BitConverter.GetBytes(0UL), theirs);
        _backend.On(FrontendRequest.CheckDeviceState, BitConverter.GetBytes(0UL));
        Task<byte[]> saving = _frontend.SaveStateAsync(cancellation: Cancel);
        FdSocket.SendWithFds(ours, [1, 2, 3], []);
        ours.Dispose();
        Assert.Equal([1, 2, 3], await saving);
        theirs.Dispose();
    }

    [Theory]
    [InlineData(0x101UL, 0)]
    [InlineData(0x001UL, 0)]
    [InlineData(0x000UL, 0)]
    [InlineData(0x100UL, 1)]
    [InlineData(0x001UL, 1)]
    public async Task State_Refused_LeavesNothingOpen(ulong result, int fds)
    {
        await NegotiateAsync();
        using var probe = new DescriptorProbe();
        _backend.On(FrontendRequest.SetDeviceStateFd, BitConverter.GetBytes(result), fds == 0 ? [] : [probe.Descriptor]);
        await FailsAsync(() => _frontend.SaveStateAsync(cancellation: Cancel), "refused SET_DEVICE_STATE_FD");
        await FailsAsync(() => _frontend.LoadStateAsync(new byte[4], Cancel), "refused SET_DEVICE_STATE_FD");
        Assert.True(probe.IsClosedByPeer(RawFrontend.Deadline));
    }

    [Fact]
    public async Task State_CheckFails_IsSaid()
    {
        await NegotiateAsync();
        _backend.On(FrontendRequest.SetDeviceStateFd, BitConverter.GetBytes(DeviceStateTransfer.NoFdReturned));
        _backend.On(FrontendRequest.CheckDeviceState, BitConverter.GetBytes(5UL));
        await FailsAsync(() => _frontend.SaveStateAsync(cancellation: Cancel), "status 5");
        await FailsAsync(() => _frontend.LoadStateAsync(new byte[4], Cancel), "status 5");
    }

    [Fact]
    public async Task Channel_Garbage_EndsTheChannelAndNotTheSession()
    {
        await NegotiateAsync();
        using (VhostUserSocket channel = _backend.Channel!)
        {
            await channel.SendAsync(99, MessageFlags.NeedReply, default(UInt64Payload), null, Cancel);
            using (VhostUserMessage? answer = await channel.ReceiveAsync(static _ => 64, Cancel))
                Assert.Equal(UInt64Payload.Failure, answer!.Read<UInt64Payload>("answer"));

            // VRING_CALL of one byte.
            await channel.SendAsync(4, MessageFlags.None, new byte[1], [], Cancel);
            Assert.Null(await channel.ReceiveAsync(static _ => 64, Cancel));
        }

        Assert.Contains(_log.Complaints, static line => line.Contains("broke its channel", StringComparison.Ordinal));
        Assert.Equal(0, await _frontend.GetStatusAsync(Cancel));
    }

    [Fact]
    public async Task Channel_DescriptorsOfRefusedRequests_AreClosed()
    {
        await NegotiateAsync();
        using var probe = new DescriptorProbe();
        await _backend.Channel!.SendAsync((uint)BackendRequest.VringHostNotifierMsg, MessageFlags.NeedReply, default(VringArea), probe.Descriptor, Cancel);
        using (VhostUserMessage? answer = await _backend.Channel!.ReceiveAsync(static _ => 64, Cancel))
            Assert.Equal(UInt64Payload.Failure, answer!.Read<UInt64Payload>("answer"));

        Assert.True(probe.IsClosedByPeer(RawFrontend.Deadline));
    }

    [Fact]
    public async Task Dispose_WhileARequestWaits_EndsItsWait()
    {
        await NegotiateAsync();
        var received = new TaskCompletionSource();
        _backend.On(FrontendRequest.GetVringBase, _ =>
        {
            received.SetResult();
            return Task.CompletedTask;
        });
        Task<uint> stopping = _frontend.StopRingAsync(0, Cancel);
        await received.Task.WaitAsync(RawFrontend.Deadline, Cancel);
        await _frontend.DisposeAsync();
        await Assert.ThrowsAsync<FrontendException>(() => stopping);
    }

    [Fact]
    public async Task Cancel_WhileARequestWaits_IsACancellation()
    {
        await NegotiateAsync();
        using var cancel = new CancellationTokenSource();
        _backend.On(FrontendRequest.GetStatus, _ => cancel.CancelAsync());
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => _frontend.GetStatusAsync(cancel.Token));
        await FailsAsync(() => _frontend.GetStatusAsync(Cancel), "GET_STATUS");
    }

    [Fact]
    public void Connect_NobodyThere_IsSaid()
        => Assert.Contains("/nowhere/at/all", Assert.Throws<FrontendException>(() => FrontendSession.Connect("/nowhere/at/all")).Message, StringComparison.Ordinal);

    [Fact]
    public async Task Handler_FailsAgainAndAgain_IsToldOnce()
    {
        _handler.Answer = static () => throw new InvalidOperationException("the application cannot");
        await _frontend.NegotiateAsync(Cancel);
        for (int i = 0; i < 5; i++)
        {
            await _backend.Channel!.SendAsync((uint)BackendRequest.ShmemUnmap, MessageFlags.NeedReply, new SharedMemoryMapping(0, 0, 0, 0, false), null, Cancel);
            using VhostUserMessage? reply = await _backend.Channel.ReceiveAsync(static _ => 64, Cancel).AsTask().WaitAsync(RawFrontend.Deadline, Cancel);
            Assert.NotEqual(0UL, reply!.Read<UInt64Payload>("SHMEM_UNMAP").Value);
        }

        Assert.Single(_log.Complaints, static line => line.Contains("SHMEM_UNMAP failed", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Negotiate_Again_ClosesTheChannelBefore()
    {
        var channels = new List<VhostUserSocket>();
        _backend.On(FrontendRequest.SetBackendReqFd, message =>
        {
            channels.Add(new VhostUserSocket(message.Fds.Take()));
            return _backend.ReplyAsync(message.Header.Request, new byte[8]);
        });
        await _frontend.NegotiateAsync(Cancel);
        await _frontend.NegotiateAsync(Cancel);

        Assert.Equal(2, channels.Count);
        Assert.Null(await channels[0].ReceiveAsync(static _ => 64, Cancel).AsTask().WaitAsync(RawFrontend.Deadline, Cancel));
        channels.ForEach(static channel => channel.Dispose());
    }

    [Fact]
    public async Task Backend_OfAnyBytes_NeverHangsNorThrowsAnythingElse()
    {
        const int rounds = 400;
        for (int seed = 0; seed < rounds; seed++)
        {
            await using var backend = new ScriptedBackend();
            var random = new Random(seed);
            int calm = random.Next(6);
            Func<VhostUserMessage, Task> garble = message =>
            {
                if (calm-- > 0)
                    return backend.ReplyAsync(message.Header.Request, BitConverter.GetBytes(random.Next(4) == 0 ? random.NextInt64() : 0L));

                byte[] noise = new byte[random.Next(1, 64)];
                random.NextBytes(noise);
                if (random.Next(2) == 0 && noise.Length >= MessageHeader.WireSize)
                    new MessageHeader(message.Header.Request, MessageFlags.Version1 | MessageFlags.Reply, (uint)random.Next(noise.Length)).Write(noise);

                backend.SendRaw(noise);
                backend.HangUp();
                return Task.CompletedTask;
            };
            foreach (FrontendRequest request in Enum.GetValues<FrontendRequest>().Where(request => request > FrontendRequest.SetProtocolFeatures))
                backend.On(request, garble);

            await using var frontend = new FrontendSession(backend.Theirs, new FrontendOptions { Timeout = RawFrontend.Deadline, DrainTimeout = RawFrontend.Deadline });
            await Record(() => frontend.NegotiateAsync(Cancel));
            await Record(() => frontend.GetConfigAsync(0, 16, Cancel));
            await Record(async () => (await frontend.GetInflightAsync(1, 16, Cancel)).Dispose());
            await Record(() => frontend.SaveStateAsync(cancellation: Cancel));
        }

        static async Task Record(Func<Task> verb)
        {
            Exception? thrown = await Xunit.Record.ExceptionAsync(verb);
            Assert.True(thrown is null or FrontendException, $"{thrown}");
        }
    }

    private async Task NegotiateAsync()
    {
        await _frontend.NegotiateAsync(Cancel);
        Assert.NotNull(_backend.Channel);
    }

    private static async Task FailsAsync(Func<Task> verb, string cause)
    {
        FrontendException e = await Assert.ThrowsAsync<FrontendException>(() => verb().WaitAsync(RawFrontend.Deadline, Cancel));
        Assert.Contains(cause, e.Message, StringComparison.Ordinal);
    }

    private static byte[] Bytes<T>(T payload)
        where T : struct, IPayload<T>
        => RawFrontend.Bytes(payload);
}

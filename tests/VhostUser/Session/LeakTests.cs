using TestKit;
using VhostUser.Protocol;
using VhostUser.Session;
using VhostXen.Linux;
using Xunit;

namespace VhostUser.Tests.Session;

/// <summary>A malicious front-end leaves nothing behind. Alone, because it counts what the whole process has.</summary>
[CollectionDefinition(nameof(LeakTests), DisableParallelization = true)]
[Collection(nameof(LeakTests))]
public sealed class LeakTests
{
    private const int Sessions = 1000;

    [Fact]
    public async Task HostileSessions_AThousand_LeaveNothing()
    {
        using var memory = new TestMemory();
        var device = new EchoDevice();
        await using TestBackend backend = await TestBackend.StartAsync(device);
        var random = new Random(20240607);
        for (int i = 0; i < 50; i++)
            await HostileAsync(backend, memory, random);

        (int Fds, int Threads, ulong Guest, int Inflight, int All) before = Count(memory);
        for (int i = 0; i < Sessions; i++)
            await HostileAsync(backend, memory, random);

        // Mappings of what the front-end sent are counted exactly; all together only roughly, since the runtime's own come
        // and go as it compiles. A leak of one per session would be hundreds.
        Assert.True(
            SpinWait.SpinUntil(
                () =>
                {
                    (int Fds, int Threads, ulong Guest, int Inflight, int All) after = Count(memory);
                    return after.Fds <= before.Fds && after.Threads <= before.Threads
                        && after.Guest == before.Guest && after.Inflight == before.Inflight && after.All <= before.All + 200;
                },
                RawFrontend.Deadline),
            $"before {before}, after {Count(memory)}");

        using RawFrontend frontend = backend.Connect();
        await frontend.NegotiateAsync();
        await frontend.ShareAsync(memory);
        using RawRing ring = await frontend.StartRingAsync(DriverRing.Create(memory, 16));
        Assert.Equal([1], ring.Echo([1]));
    }

    private static async Task HostileAsync(TestBackend backend, TestMemory memory, Random random)
    {
        using (RawFrontend frontend = backend.Connect())
        {
            if (random.Next(4) != 0)
                await frontend.NegotiateAsync();

            if (random.Next(2) != 0)
                frontend.Send(FrontendRequest.SetMemTable, RawFrontend.Table(memory.Regions), false, RawFrontend.Files(memory));

            using EventFd fd = EventFd.Create();
            for (int i = random.Next(12); i > 0; i--)
                SendSomething(frontend, memory, fd, random);

            // Sometimes cut off inside a message.
            if (random.Next(3) == 0)
                frontend.SendRaw([5, 0, 0, 0, 1, 0], memory.File);
        }

        await backend.Session.WaitAsync(RawFrontend.Deadline);
    }

    private static void SendSomething(RawFrontend frontend, TestMemory memory, EventFd fd, Random random)
    {
        var request = (FrontendRequest)random.Next(0, 47);
        RequestShape? shape = RequestShape.Of(request);
        int size = shape is { } known && random.Next(8) != 0 ? known.MinPayload : random.Next(0, 300);
        byte[] payload = new byte[size];
        random.NextBytes(payload);
        if (random.Next(2) == 0 && size >= 4)
            payload.AsSpan(0, Math.Min(8, size)).Clear();

        int fds = shape is { } s && random.Next(8) != 0 ? random.Next(s.MinFds, Math.Min(s.MaxFds, 8) + 1) : random.Next(0, 9);
        frontend.Send(request, payload, random.Next(2) == 0, [.. Enumerable.Range(0, fds).Select(_ => random.Next(2) == 0 ? fd.Handle : memory.File)]);
    }

    private static (int Fds, int Threads, ulong Guest, int Inflight, int All) Count(TestMemory memory) => (
        Directory.GetFileSystemEntries("/proc/self/fd").Length,
        Directory.GetDirectories("/proc/self/task").Count(static task => !NameOf(task).StartsWith(".NET TP", StringComparison.Ordinal)),
        OpenFiles.MappedBytesOf(memory.File),
        OpenFiles.MappingsNamed("vhost-user-inflight"),
        File.ReadLines("/proc/self/maps").Count());

    /// <summary>The thread pool grows and shrinks as it likes.</summary>
    private static string NameOf(string task)
    {
        try
        {
            return File.ReadAllText(Path.Combine(task, "comm"));
        }
        catch (IOException)
        {
            return ".NET TP (ended)";
        }
    }
}

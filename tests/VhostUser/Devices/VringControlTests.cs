using Microsoft.Extensions.Logging.Abstractions;
using TestKit;
using VhostUser.Devices;
using VhostUser.Memory;
using VhostUser.Protocol;
using VhostUser.Queues;
using Xunit;

namespace VhostUser.Tests.Devices;

public sealed class VringControlTests
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);

    // Completed by a command or a watched descriptor, asked to stop and forgotten, all in one round of the worker: the used
    // entry was never shown, and the end of the round looked for a ring that was gone.
    [Fact]
    public async Task Quiesce_RequestCompletedInTheSameRound_IsPublishedBefore()
    {
        var device = new KeepingDevice();
        using var rig = new DeviceRig(device, 0);
        GuestRange buffer = rig.Memory.Buffer(16, writable: true);
        rig.Driver.Add(buffer);
        rig.Kick();
        VirtqueueRequest request = await device.Taken.Task.WaitAsync(Deadline, TestContext.Current.CancellationToken);

        using var hold = new ManualResetEventSlim();
        _ = device.Worker!.InvokeAsync(hold.Wait);
        _ = device.Worker.InvokeAsync(() => request.Complete(3));
        Task quiesced = rig.Vrings[0].QuiesceAsync();
        UsedBuffer used = default;
        bool shown = false;
        Task look = device.Worker.InvokeAsync(() => shown = rig.Driver.TryCollect(out used));
        hold.Set();
        await quiesced.WaitAsync(Deadline, TestContext.Current.CancellationToken);
        await look.WaitAsync(Deadline, TestContext.Current.CancellationToken);
        Assert.True(shown);
        Assert.Equal(3u, used.Written);
    }

    // The session takes a ring that does not start for stopped, and unmaps its memory: the worker must have let go of it.
    [Fact]
    public async Task Start_HandlerThrows_LeavesTheRingStopped()
    {
        var device = new KeepingDevice { StartThrows = true };
        await using DeviceInstance instance = await DeviceInstance.StartAsync("test", device, 1, new WorkerOptions { UseIoUring = false }, NullLogger.Instance);
        using var memory = new TestMemory();
        using MappedGuest guest = memory.Map();
        DriverRing driver = DriverRing.Create(memory, 16);
        VringSetup setup = Setup(guest, driver);
        await Assert.ThrowsAsync<InvalidDataException>(() => instance.Vrings[0].StartAsync(setup));

        driver.Add(memory.Buffer(16, writable: true));
        device.StartThrows = false;
        await instance.Vrings[0].StartAsync(setup).WaitAsync(Deadline, TestContext.Current.CancellationToken);
        VirtqueueRequest request = await device.Taken.Task.WaitAsync(Deadline, TestContext.Current.CancellationToken);
        await device.Worker!.InvokeAsync(() => request.Complete(1)).WaitAsync(Deadline, TestContext.Current.CancellationToken);
        await instance.Vrings[0].StopAsync().WaitAsync(Deadline, TestContext.Current.CancellationToken);
        Assert.True(driver.TryCollect(out _));
    }

    private static unsafe VringSetup Setup(MappedGuest guest, DriverRing driver)
    {
        return new VringSetup
        {
            Layout = new VirtqueueLayout
            {
                Size = driver.Size,
                Descriptors = Find(driver.Descriptors.Value),
                Driver = Find(driver.Driver.Value),
                Device = Find(driver.Device.Value),
            },
            Features = driver.Features,
            Base = driver.InitialBase,
            Memory = guest.Map,
            Enabled = true,
        };

        byte* Find(ulong address) => guest.Map.FindRing(new FrontendAddress(address), 16, guestAddressesFirst: true, out _);
    }

    /// <summary>Takes one request and leaves it to the test, with the worker that it belongs to.</summary>
    private sealed class KeepingDevice : VirtioDevice
    {
        public override string Type => "keeping";

        public override uint DeviceId => 42;

        public override int QueueCount => 1;

        public override ulong Features => 0;

        public VirtqueueWorker? Worker { get; private set; }

        public bool StartThrows { get; set; }

        public TaskCompletionSource<VirtqueueRequest> Taken { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public override QueueHandler CreateHandler(VirtqueueWorker worker, int queueIndex)
        {
            Worker = worker;
            return new Handler(this);
        }

        private sealed class Handler(KeepingDevice device) : QueueHandler
        {
            public override void Process(VirtqueueRequest request) => device.Taken.TrySetResult(request);

            public override void Start(ulong features)
            {
                if (device.StartThrows)
                    throw new InvalidDataException("no");
            }
        }
    }
}

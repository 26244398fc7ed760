using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using VhostUser.Devices;
using VhostUser.Memory;
using VhostUser.Protocol;
using VhostUser.Queues;
using VhostXen.Linux;
using static VhostXen.Linux.LibC;

namespace TestKit;

/// <summary>A device at work in this process without a session: its worker, and a driver for each queue.</summary>
public sealed unsafe class DeviceRig : IDisposable
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);
    private readonly MappedGuest _guest;
    private readonly DeviceInstance _instance;
    private readonly EventFd[] _kicks;
    private readonly EventFd[] _calls;
    private readonly EventFd[] _errors;

    /// <param name="device">Owned from here on.</param>
    /// <param name="deviceFeatures">Its own features that the driver takes.</param>
    /// <param name="ringFeatures">Ring features that the driver takes.</param>
    /// <param name="size">Ring size.</param>
    /// <param name="options">How the worker waits.</param>
    /// <param name="provider">How guest memory is mapped; with guard pages when not given.</param>
    /// <param name="memory">Guest memory; <see cref="TestMemory()"/> when not given.</param>
    /// <param name="logger">Nobody's when not given.</param>
    public DeviceRig(
        VirtioDevice device,
        ulong deviceFeatures,
        ulong ringFeatures = VirtioFeatures.IndirectDesc,
        int size = 128,
        WorkerOptions? options = null,
        IGuestMemoryProvider? provider = null,
        TestMemory? memory = null,
        ILogger? logger = null)
    {
        Memory = memory ?? new TestMemory();
        _guest = Memory.Map(provider ?? new GuardedProvider());
        ulong features = deviceFeatures | ringFeatures | VirtioFeatures.Version1;
        Drivers = [.. Enumerable.Range(0, device.QueueCount).Select(_ => DriverRing.Create(Memory, size, features))];
        _kicks = [.. Drivers.Select(static _ => EventFd.Create())];
        _calls = [.. Drivers.Select(static _ => EventFd.Create())];
        _errors = [.. Drivers.Select(static _ => EventFd.Create())];
        _instance = Wait(DeviceInstance.StartAsync("test", device, 1, options ?? new WorkerOptions(), logger ?? NullLogger.Instance));
        device.SetFeatures(features);
        for (int i = 0; i < Drivers.Count; i++)
            Start(i, Drivers[i].InitialBase, features);
    }

    public TestMemory Memory { get; }

    public IReadOnlyList<DriverRing> Drivers { get; }

    public DriverRing Driver => Drivers[0];

    public IReadOnlyList<Vring> Vrings => _instance.Vrings;

    /// <summary>The driver's kick, if the device wants one.</summary>
    public void Kick(int queue = 0)
    {
        if (Drivers[queue].NeedsKick())
            _kicks[queue].Signal();
    }

    /// <summary>Kicks, and waits for the next used entry.</summary>
    /// <exception cref="TimeoutException">The device does not answer.</exception>
    public UsedBuffer Next(int queue = 0)
    {
        Kick(queue);
        DriverRing driver = Drivers[queue];
        UsedBuffer used;
        while (!driver.TryCollect(out used))
        {
            if (driver.AllowInterrupts())
                continue;

            if (!WaitFor(_calls[queue]))
                throw new TimeoutException("the device returned nothing");
        }

        return used;
    }

    /// <summary>Whether the device signals within the deadline that the ring is broken.</summary>
    public bool IsBroken(int queue = 0)
    {
        Kick(queue);
        return WaitFor(_errors[queue]);
    }

    /// <summary>Stops a queue as GET_VRING_BASE does.</summary>
    public uint Stop(int queue = 0) => Wait(_instance.Vrings[queue].StopAsync());

    public void Dispose()
    {
        Wait(_instance.DisposeAsync().AsTask());
        foreach (EventFd fd in (ReadOnlySpan<EventFd>)[.. _kicks, .. _calls, .. _errors])
            fd.Dispose();

        _guest.Dispose();
        Memory.Dispose();
    }

    private static bool WaitFor(EventFd fd)
    {
        Span<pollfd> poll = [new pollfd { fd = fd.Handle.Value, events = POLLIN }];
        return FileIO.Poll(poll, (int)Deadline.TotalMilliseconds) == 1 && fd.Drain();
    }

    private static void Wait(Task task)
    {
        if (!task.Wait(Deadline))
            throw new TimeoutException("the device does not stop");
    }

    private static T Wait<T>(Task<T> task)
    {
        Wait((Task)task);
        return task.Result;
    }

    private void Start(int queue, uint @base, ulong features)
    {
        DriverRing driver = Drivers[queue];
        (ulong descriptors, ulong avail, ulong used) = VirtqueueLayout.Sizes(driver.IsPacked, driver.Size);
        Wait(_instance.Vrings[queue].StartAsync(new VringSetup
        {
            Layout = new VirtqueueLayout
            {
                Size = driver.Size,
                Descriptors = Find(driver.Descriptors, descriptors),
                Driver = Find(driver.Driver, avail),
                Device = Find(driver.Device, used),
            },
            Features = features,
            Base = @base,
            Memory = _guest.Map,
            Kick = _kicks[queue],
            Call = _calls[queue],
            Error = _errors[queue],
            Enabled = true,
        }));
    }

    private byte* Find(GuestAddress address, ulong length)
        => _guest.Map.FindRing(new FrontendAddress(address.Value), length, guestAddressesFirst: true, out _);
}

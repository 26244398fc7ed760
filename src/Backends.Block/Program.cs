// vhostxen-blk: disks for virtual machines over vhost-user. Exit codes: 0 a clean end, 1 it cannot be done,
// 2 the options make no sense.
using System.Runtime.InteropServices;
using Backends.Block;
using Backends.Block.Device;
using Backends.Block.Options;
using Backends.Block.Stores;
using Microsoft.Extensions.Logging;
using VhostUser.Hosting;
using VhostUser.Memory;
using XenMemoryProvider.Kernel;
using XenMemoryProvider.Memory;

const string Program = "vhostxen-blk";

DaemonOptions? options;
try
{
    options = new CommandLine().Parse(args, Console.Out, SocketActivation.IsActive);
}
catch (OptionsException e)
{
    Console.Error.WriteLine($"{Program}: {e.Message}");
    return 2;
}

if (options is null)
    return 0;

using ILoggerFactory loggers = LoggerFactory.Create(logging => VhostUserHost.AddLogging(logging, options.LogLevel));
ILogger logger = loggers.CreateLogger("block");
List<BlockDevice> devices = [];
IGuestMemoryProvider memory;
try
{
    memory = XenGuestMemoryProvider.Choose(options.Xen, logger: loggers.CreateLogger("xen"));
}
catch (ArgumentException e)
{
    Console.Error.WriteLine($"{Program}: --xen: {e.Message}");
    return 2;
}
catch (XenException e)
{
    Console.Error.WriteLine($"{Program}: {e.Message}");
    return 1;
}

try
{
    foreach (DiskOptions disk in options.Devices)
        devices.Add(DiskFactory.Open(disk, logger));
}
catch (StoreException e)
{
    devices.ForEach(static device => device.Dispose());
    Console.Error.WriteLine($"{Program}: {e.Message}");
    return 1;
}

// SIGHUP: images may have been resized.
using PosixSignalRegistration hangup = PosixSignalRegistration.Create(PosixSignal.SIGHUP, context =>
{
    context.Cancel = true;
    devices.ForEach(static device => device.Refresh());
});
using BlockMetrics metrics = new(devices);
return await VhostUserHost.RunAsync(
    [.. devices.Zip(options.Devices, static (device, disk) => new HostedDevice(device, DiskFactory.HostOptions(disk)))],
    memory,
    options.LogLevel);

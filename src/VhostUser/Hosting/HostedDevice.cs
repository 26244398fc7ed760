using VhostUser.Devices;

namespace VhostUser.Hosting;

/// <summary>A device and where it is served. The host owns the device.</summary>
public sealed record HostedDevice(VirtioDevice Device, DeviceHostOptions Options);

// A complete vhost-user back-end: an entropy device (virtio 1.3, section 5.4) that fills the guest's buffers
// from the kernel's random numbers. docs/your-own-backend.md walks through it.
using RngDaemon;
using VhostUser.Hosting;
using VhostUser.Memory;

if (args is not [string socketPath] || socketPath.StartsWith('-'))
{
    Console.Error.WriteLine("usage: vhost-rng SOCKET-PATH");
    return 2;
}

DeviceHostOptions options = new() { Name = "rng", SocketPath = socketPath };
return await VhostUserHost.RunAsync([new HostedDevice(new RngDevice(), options)], new SharedFileProvider());

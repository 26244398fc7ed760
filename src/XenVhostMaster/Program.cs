// xen-vhost-master: virtio devices for Xen guests, with vhost-user back-ends. Exit codes: 0 a clean end, 1 it cannot be done,
// 2 the options make no sense.
using XenVhostMaster.Hosting;

MasterOptions? options;
try
{
    options = new CommandLine().Parse(args, Console.Out);
}
catch (OptionsException e)
{
    await Console.Error.WriteLineAsync($"xen-vhost-master: {e.Message}").ConfigureAwait(false);
    return 2;
}

if (options is null)
    return 0;

return options.ControlCommand.Count != 0
    ? await ControlServer.SendAsync(options.Control!, options.ControlCommand, Console.Out, Console.Error).ConfigureAwait(false)
    : await MasterHost.RunAsync(options).ConfigureAwait(false);

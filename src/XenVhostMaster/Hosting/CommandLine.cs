using System.CommandLine;
using System.CommandLine.Help;
using Microsoft.Extensions.Logging;
using XenMemoryProvider.Kernel;
using XenVhostMaster.Domains;

namespace XenVhostMaster.Hosting;

/// <summary>The command line of xen-vhost-master.</summary>
internal sealed class CommandLine
{
    public const string Examples = """
        Examples:
          A disk for a guest that exists, or will:
            xen-vhost-master --domain=vm1 --device=block,socket=/run/vm1-disk.sock

          Create a guest, attach before its first instruction, follow it to its end:
            xen-vhost-master run --device=block,socket=/run/vm1-disk.sock --device=net,socket=/run/vm1-net.sock -- xl create vm1.cfg

          Several guests:
            xen-vhost-master --config=/etc/vhostxen/master.json

          Guests whose xl configuration has specification=virtio disks (target=/run/vm1.sock) or virtio=[...] devices:
            xen-vhost-master --from-xenstore=/run/vhostxen

          One more disk for a guest that runs (it finds it by rescanning its PCI bus):
            xen-vhost-master ctl attach vm1 block,socket=/run/more.sock

          What it does:
            xen-vhost-master ctl list
        """;

    private readonly Option<string?> _domain = new("--domain") { HelpName = "NAME|ID", Description = "the guest; a name is followed through reboots" };
    private readonly Option<string[]> _device = new("--device") { HelpName = "DEVICE", Description = $"one device, repeatable: {DeviceText.Help}", DefaultValueFactory = static _ => [] };
    private readonly Option<string?> _config = new("--config") { HelpName = "FILE", Description = "JSON file with several guests; excludes --domain and --device" };
    private readonly Option<string?> _fromXenstore = new("--from-xenstore") { HelpName = "FOLDER", Description = "serve the virtio devices that xl describes; FOLDER/GUEST-DEVID.sock are the sockets of those that do not name theirs" };
    private readonly Option<string> _xen = new("--xen") { HelpName = "HOW", Description = $"how to reach Xen: {XenKernels.Help}", DefaultValueFactory = static _ => XenKernels.Devices, Recursive = true };
    private readonly Option<string?> _control = new("--control") { HelpName = "PATH", Description = $"Unix socket for commands; 'ctl' looks at {MasterOptions.DefaultControl} by default", Recursive = true };
    private readonly Option<LogLevel> _logLevel = new("--log-level") { HelpName = "LEVEL", Description = "Trace, Debug, Information, Warning, Error or None", DefaultValueFactory = static _ => LogLevel.Information, Recursive = true };
    private readonly Option<string[]> _runDevice = new("--device") { HelpName = "DEVICE", Description = DeviceText.Help, DefaultValueFactory = static _ => [] };
    private readonly Argument<string[]> _command = new("COMMAND") { Description = "xl create and its arguments, after --", Arity = ArgumentArity.OneOrMore };
    private readonly Argument<string[]> _controlCommand = new("COMMAND") { Description = "list, attach DOMAIN DEVICE, or detach DOMAIN DEVICE-NAME [force]", Arity = ArgumentArity.OneOrMore };
    private readonly RootCommand _root = new("xen-vhost-master: gives Xen guests virtio devices whose back-ends speak vhost-user");
    private readonly Command _run = new("run", "create a guest paused, attach its devices, unpause it, follow it to its end");
    private readonly Command _ctl = new("ctl", "tell a running xen-vhost-master something");

    public CommandLine()
    {
        foreach (Option option in (ReadOnlySpan<Option>)[_domain, _device, _config, _fromXenstore, _xen, _control, _logLevel])
            _root.Options.Add(option);

        _run.Options.Add(_runDevice);
        _run.Arguments.Add(_command);
        _ctl.Arguments.Add(_controlCommand);
        _root.Subcommands.Add(_run);
        _root.Subcommands.Add(_ctl);

        // A command without an action demands a subcommand.
        foreach (Command command in (ReadOnlySpan<Command>)[_root, _run, _ctl])
            command.SetAction(static _ => 0);
    }

    /// <summary>Parses and checks.</summary>
    /// <param name="arguments">Without the program's name.</param>
    /// <param name="output">Where help and version go.</param>
    /// <returns>Null when everything asked for has been printed.</returns>
    /// <exception cref="OptionsException">The options make no sense.</exception>
    public MasterOptions? Parse(string[] arguments, TextWriter output)
    {
        ParseResult result = _root.Parse(arguments, new ParserConfiguration { EnablePosixBundling = false });
        if (result.Action is HelpAction)
        {
            result.Invoke(new InvocationConfiguration { Output = output });
            output.WriteLine(Examples);
            return null;
        }

        if (result.Errors.Count > 0)
            throw new OptionsException(result.Errors[0].Message.Split('\n')[0].TrimEnd('.'));

        // Only --version has an action of its own.
        if (result.Action != result.CommandResult.Command.Action)
        {
            result.Invoke(new InvocationConfiguration { Output = output });
            return null;
        }

        var options = new MasterOptions { Xen = result.GetValue(_xen)!, Control = result.GetValue(_control), LogLevel = result.GetValue(_logLevel) };
        if (result.CommandResult.Command == _ctl)
            return options with { Control = options.Control ?? MasterOptions.DefaultControl, ControlCommand = result.GetValue(_controlCommand)! };

        if (result.CommandResult.Command == _run)
            return Run(result, options);

        options = options with { StoreSockets = result.GetValue(_fromXenstore) };
        if (result.GetValue(_config) is { } path)
            return FromFile(result, path, options);

        // What xenstore says may be all there is.
        return options.StoreSockets is not null && result.GetValue(_domain) is null ? options : options with { Guests = [Guest(result)] };
    }

    private MasterOptions Run(ParseResult result, MasterOptions options)
    {
        string[] command = result.GetValue(_command)!;
        string name = XlCreate.FindName(command);
        return options with { Guests = [new GuestOptions { Domain = name, Devices = Devices(result.GetValue(_runDevice)!) }], Command = command };
    }

    private MasterOptions FromFile(ParseResult result, string path, MasterOptions options)
    {
        if (result.GetValue(_domain) is not null || result.GetValue(_device) is { Length: > 0 })
            throw new OptionsException("--config excludes --domain and --device");

        return options with { Guests = ConfigurationFile.Load(path) };
    }

    private GuestOptions Guest(ParseResult result)
    {
        if (result.GetValue(_domain) is not { Length: > 0 } domain)
            throw new OptionsException("--domain=NAME|ID is needed, or --config=FILE, or --from-xenstore=FOLDER (see --help)");

        return new GuestOptions { Domain = domain, Devices = Devices(result.GetValue(_device)!) };
    }

    private static List<DeviceOptions> Devices(string[] texts)
    {
        if (texts.Length == 0)
            throw new OptionsException("at least one --device is needed");

        List<DeviceOptions> devices = [.. texts.Select(DeviceText.Parse)];
        CheckUnique(devices);
        return devices;
    }

    /// <exception cref="OptionsException">Two devices want the same place.</exception>
    internal static void CheckUnique(IReadOnlyList<DeviceOptions> devices)
    {
        if (devices.Where(static device => device.Slot is not null).GroupBy(static device => device.Slot).FirstOrDefault(static group => group.Count() > 1) is { } slot)
            throw new OptionsException($"two devices want slot {slot.Key}");

        if (devices.Where(static device => device.MmioBase is not null).GroupBy(static device => device.MmioBase).FirstOrDefault(static group => group.Count() > 1) is { } start)
            throw new OptionsException($"two devices want base 0x{start.Key:x}");
    }
}

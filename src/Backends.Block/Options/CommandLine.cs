using System.CommandLine;
using System.CommandLine.Help;
using Microsoft.Extensions.Logging;

namespace Backends.Block.Options;

/// <summary>The command line of vhostxen-blk, by the conventions for vhost-user back-ends.</summary>
internal sealed class CommandLine
{
    /// <summary>What --print-capabilities prints: the vhost-user.json schema's names.</summary>
    public const string Capabilities = """{"type":"block","features":["read-only","blk-file"]}""";

    public const string Examples = """
        Examples:
          A raw image for one guest:
            vhostxen-blk --socket-path=/run/vm1-disk.sock --blk-file=disk.img

          Past the host's page cache, four queues on two threads:
            vhostxen-blk --socket-path=/run/vm1-disk.sock --blk-file=/dev/vg0/vm1 --direct --num-queues=4 --workers=2

          An installation medium that any number of guests may share:
            vhostxen-blk --socket-path=/run/cd.sock --blk-file=debian.iso --read-only

          Several disks in one process:
            vhostxen-blk --config=/etc/vhostxen/blk.json

          The guest's side, QEMU:
            qemu-system-x86_64 -object memory-backend-memfd,id=mem,size=1G,share=on -machine q35,memory-backend=mem \
              -chardev socket,id=disk,path=/run/vm1-disk.sock -device vhost-user-blk-pci,chardev=disk
        """;

    private readonly Option<string?> _socketPath = new("--socket-path") { HelpName = "PATH", Description = "Unix socket to listen on" };
    private readonly Option<int?> _fd = new("--fd") { HelpName = "FD", Description = "inherited socket, listening or connected, instead of --socket-path" };
    private readonly Option<string?> _blkFile = new("--blk-file") { HelpName = "PATH", Description = "raw image or block device to serve" };
    private readonly Option<string?> _store = new("--store") { HelpName = "STORE", Description = "instead of --blk-file: memory:SIZE, null:SIZE or file:PATH" };
    private readonly Option<bool> _readOnly = new("--read-only") { Description = "refuse writes" };
    private readonly Option<int> _numQueues = new("--num-queues") { HelpName = "N", Description = "queues offered, 1 to 1024", DefaultValueFactory = static _ => new DiskOptions().NumQueues };
    private readonly Option<int> _queueSize = new("--queue-size") { HelpName = "N", Description = "largest ring accepted, a power of two from 4 to 32768", DefaultValueFactory = static _ => new DiskOptions().QueueSize };
    private readonly Option<bool> _direct = new("--direct") { Description = "bypass the host's page cache (O_DIRECT)" };
    private readonly Option<string> _cache = new("--cache") { HelpName = "MODE", Description = "writeback: writes are stable after a flush; writethrough: at once", DefaultValueFactory = static _ => new DiskOptions().Cache };
    private readonly Option<string?> _serial = new("--serial") { HelpName = "TEXT", Description = "serial number that the guest sees, at most 20 characters" };
    private readonly Option<int> _logicalBlockSize = new("--logical-block-size") { HelpName = "BYTES", Description = "block size that the guest sees, 512 to 65536; default: the file's" };
    private readonly Option<int> _workers = new("--workers") { HelpName = "N", Description = "threads that serve the queues", DefaultValueFactory = static _ => new DiskOptions().Workers };
    private readonly Option<int> _pollUs = new("--poll-us") { HelpName = "US", Description = "microseconds to look for more requests before sleeping; 0 uses no CPU when idle" };
    private readonly Option<bool> _noLock = new("--no-lock") { Description = "do not lock the image against other users of it" };
    private readonly Option<bool> _noIoUring = new("--no-io-uring") { Description = "do without io_uring even where the kernel has it" };
    private readonly Option<bool> _sealedMemory = new("--sealed-memory") { Description = "refuse guest memory that is no sealed memfd: a guest's owner could end this process" };
    private readonly Option<string?> _name = new("--name") { HelpName = "NAME", Description = "what log lines and metrics call the disk" };
    private readonly Option<string?> _config = new("--config") { HelpName = "FILE", Description = "JSON file with several disks; excludes the options of a single one" };
    private readonly Option<string> _xen = new("--xen") { HelpName = "HOW", Description = "guests of Xen: auto where this is a Xen host, off, devices (/dev/xen), xen-model:SOCKET", DefaultValueFactory = static _ => new DaemonOptions().Xen };
    private readonly Option<LogLevel> _logLevel = new("--log-level") { HelpName = "LEVEL", Description = "Trace, Debug, Information, Warning, Error or None", DefaultValueFactory = static _ => LogLevel.Information };
    private readonly Option<bool> _printCapabilities = new("--print-capabilities") { Description = "print what this program can do as JSON, and end" };
    private readonly RootCommand _root = new("vhostxen-blk: gives virtual machines disks over the vhost-user protocol");

    public CommandLine()
    {
        foreach (Option option in (ReadOnlySpan<Option>)[.. DiskOptionList, _config, _xen, _logLevel, _printCapabilities])
            _root.Options.Add(option);
    }

    private Option[] DiskOptionList =>
    [
        _socketPath, _fd, _blkFile, _store, _readOnly, _numQueues, _queueSize, _direct, _cache, _serial, _logicalBlockSize,
        _workers, _pollUs, _noLock, _noIoUring, _sealedMemory, _name,
    ];

    /// <summary>Parses and checks.</summary>
    /// <param name="arguments">Without the program's name.</param>
    /// <param name="output">Where help, version and capabilities go.</param>
    /// <param name="systemdSockets">Whether the service manager passed sockets, which then need no --socket-path.</param>
    /// <returns>Null when everything asked for has been printed.</returns>
    /// <exception cref="OptionsException">The options make no sense.</exception>
    public DaemonOptions? Parse(string[] arguments, TextWriter output, bool systemdSockets = false)
    {
        // "Ignores other options", say the conventions.
        if (arguments.Contains("--print-capabilities"))
        {
            output.WriteLine(Capabilities);
            return null;
        }

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
        if (result.Action is not null)
        {
            result.Invoke(new InvocationConfiguration { Output = output });
            return null;
        }

        return result.GetValue(_config) is { } path ? FromFile(result, path) : FromOptions(result, systemdSockets);
    }

    private DaemonOptions FromFile(ParseResult result, string path)
    {
        foreach (Option option in DiskOptionList)
        {
            if (result.GetResult(option) is { Implicit: false })
                throw new OptionsException($"--config and {option.Name} exclude each other");
        }

        DaemonOptions options = ConfigurationFile.Load(path);
        if (result.GetResult(_logLevel) is { Implicit: false })
            options.LogLevel = result.GetValue(_logLevel);
        if (result.GetResult(_xen) is { Implicit: false })
            options.Xen = result.GetValue(_xen) ?? "";

        return options;
    }

    private DaemonOptions FromOptions(ParseResult result, bool systemdSockets)
    {
        DiskOptions disk = new()
        {
            Name = result.GetValue(_name),
            SocketPath = result.GetValue(_socketPath),
            Fd = result.GetValue(_fd),
            BlkFile = result.GetValue(_blkFile),
            Store = result.GetValue(_store),
            ReadOnly = result.GetValue(_readOnly),
            NumQueues = result.GetValue(_numQueues),
            QueueSize = result.GetValue(_queueSize),
            Direct = result.GetValue(_direct),
            Cache = result.GetValue(_cache) ?? "",
            Serial = result.GetValue(_serial),
            LogicalBlockSize = result.GetValue(_logicalBlockSize),
            Workers = result.GetValue(_workers),
            PollUs = result.GetValue(_pollUs),
            Lock = !result.GetValue(_noLock),
            IoUring = !result.GetValue(_noIoUring),
            SealedMemory = result.GetValue(_sealedMemory),
        };
        if (systemdSockets && disk.SocketPath is null && disk.Fd is null)
            disk.SocketName = "";

        OptionRules.Check(disk, OptionRules.ToOption);
        return new DaemonOptions { LogLevel = result.GetValue(_logLevel), Xen = result.GetValue(_xen) ?? "", Devices = [disk] };
    }
}

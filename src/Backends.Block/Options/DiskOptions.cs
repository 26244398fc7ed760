using System.ComponentModel.DataAnnotations;
using System.Numerics;

namespace Backends.Block.Options;

/// <summary>One disk and where it is served. Property names are the keys of the configuration file; in kebab case, the options.</summary>
internal sealed class DiskOptions : IValidatableObject
{
    /// <summary>For log lines and metrics; made from the socket or the image when it is not given.</summary>
    public string? Name { get; set; }

    /// <summary>Unix socket to listen on.</summary>
    public string? SocketPath { get; set; }

    /// <summary>Inherited socket, listening or connected.</summary>
    [Range(3, int.MaxValue)]
    public int? Fd { get; set; }

    /// <summary>FileDescriptorName= of a socket that systemd passes.</summary>
    public string? SocketName { get; set; }

    /// <summary>A raw image or a block device.</summary>
    public string? BlkFile { get; set; }

    /// <summary>memory:SIZE, null:SIZE or file:PATH.</summary>
    public string? Store { get; set; }

    public bool ReadOnly { get; set; }

    [Range(1, 1024)]
    public int NumQueues { get; set; } = 16;

    public int QueueSize { get; set; } = 1024;

    public bool Direct { get; set; }

    /// <summary>writeback or writethrough.</summary>
    [RegularExpression("writeback|writethrough", ErrorMessage = "{{Cache}} must be writeback or writethrough")]
    public string Cache { get; set; } = "writeback";

    [RegularExpression("[ -~]{0,20}", ErrorMessage = "{{Serial}} must be at most 20 printable ASCII characters")]
    public string? Serial { get; set; }

    /// <summary>In bytes; 0 takes the file's.</summary>
    public int LogicalBlockSize { get; set; }

    [Range(1, 256)]
    public int Workers { get; set; } = 1;

    /// <summary>Microseconds to look at the rings before sleeping.</summary>
    [Range(0, 1_000_000)]
    public int PollUs { get; set; }

    /// <summary>False to serve an image that others may have open.</summary>
    public bool Lock { get; set; } = true;

    /// <summary>Refuse guest memory that could be cut short under the daemon.</summary>
    public bool SealedMemory { get; set; }

    /// <summary>False to do without io_uring.</summary>
    public bool IoUring { get; set; } = true;

    /// <summary>What no single value can say.</summary>
    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
    {
        int endpoints = (SocketPath is null ? 0 : 1) + (Fd is null ? 0 : 1) + (SocketName is null ? 0 : 1);
        if (endpoints == 0)
            yield return new ValidationResult("{SocketPath} is missing: give {SocketPath}, {Fd} or a socket from the service manager");
        else if (endpoints > 1)
            yield return new ValidationResult($"{(SocketPath is null ? "{SocketName}" : "{SocketPath}")} and {(Fd is null ? "{SocketName}" : "{Fd}")} exclude each other");

        if (SocketPath is { Length: 0 or > 107 })
            yield return new ValidationResult("{SocketPath} must be 1 to 107 bytes long");

        if (BlkFile is null && Store is null)
            yield return new ValidationResult("{BlkFile} is missing: give {BlkFile} or {Store}");
        else if (BlkFile is not null && Store is not null)
            yield return new ValidationResult("{BlkFile} and {Store} exclude each other");
        else if (BlkFile is { Length: 0 })
            yield return new ValidationResult("{BlkFile} is empty");
        else if (!StoreSpecification.TryParse(this, out StoreSpecification? store, out string? problem))
            yield return new ValidationResult(problem);
        else if (store.Kind != StoreKind.File && Direct)
            yield return new ValidationResult("{Direct} needs a file, {Store} names none");
        else if (store.Kind != StoreKind.File && ReadOnly)
            yield return new ValidationResult("{ReadOnly} needs a file: {Store} would be a disk of nothing");

        if (QueueSize is < 4 or > 32768 || !BitOperations.IsPow2(QueueSize))
            yield return new ValidationResult("{QueueSize} must be a power of two from 4 to 32768");

        if (LogicalBlockSize != 0 && (LogicalBlockSize is < 512 or > 65536 || !BitOperations.IsPow2(LogicalBlockSize)))
            yield return new ValidationResult("{LogicalBlockSize} must be a power of two from 512 to 65536");

        if (Workers > NumQueues && NumQueues > 0 && Workers <= 256)
            yield return new ValidationResult("{Workers} is more than {NumQueues}: the rest would have nothing to do");
    }
}

using Backends.Block.Device;
using Backends.Block.Options;
using Backends.Block.Stores;
using Microsoft.Extensions.Logging;
using VhostUser.Hosting;
using VhostUser.Session;

namespace Backends.Block;

/// <summary>Makes disks of options that have been checked.</summary>
internal static class DiskFactory
{
    /// <summary>Opens the store and puts the device over it.</summary>
    /// <exception cref="StoreException">The store cannot be opened.</exception>
    public static BlockDevice Open(DiskOptions disk, ILogger logger)
    {
        if (!StoreSpecification.TryParse(disk, out StoreSpecification? specification, out string? problem))
            throw new StoreException(problem);

        IBlockStore store = Open(disk, specification);
        try
        {
            BlockDeviceOptions options = new()
            {
                Name = NameOf(disk),
                ReadOnly = disk.ReadOnly,
                Queues = disk.NumQueues,
                QueueSize = disk.QueueSize,
                Writeback = disk.Cache == "writeback",
                Serial = string.IsNullOrEmpty(disk.Serial) ? "vhostxen" : disk.Serial,
                LogicalBlockSize = (uint)disk.LogicalBlockSize,
            };
            BlockDevice device = new(store, options, logger);
            string source = specification.Kind == StoreKind.File ? specification.Path : specification.Kind.ToString();
            string mode = (device.ReadOnly ? "read-only, " : "") + disk.Cache + (disk.Direct ? ", direct" : "");
            logger.Opened(device.Name, source, device.Sectors * BlockRules.SectorSize, device.LogicalBlockSize, mode);
            return device;
        }
        catch
        {
            store.Dispose();
            throw;
        }
    }

    /// <summary>Where and how the disk is to be served.</summary>
    public static DeviceHostOptions HostOptions(DiskOptions disk) => new()
    {
        Name = NameOf(disk),
        SocketPath = disk.SocketPath,
        Fd = disk.Fd,
        SystemdName = disk.SocketName,
        Workers = disk.Workers,
        PollMicroseconds = disk.PollUs,
        UseIoUring = disk.IoUring,
        Session = new SessionOptions { RequireSealedMemory = disk.SealedMemory },
    };

    private static string NameOf(DiskOptions disk) => disk.Name
        ?? Path.GetFileNameWithoutExtension(disk.SocketPath)
        ?? (string.IsNullOrEmpty(disk.SocketName) ? $"disk-{disk.Fd}".TrimEnd('-') : disk.SocketName);

    private static IBlockStore Open(DiskOptions disk, StoreSpecification specification) => specification.Kind switch
    {
        StoreKind.Null => new NullStore(specification.Size),
        StoreKind.Memory => new MemoryStore(specification.Size),
        _ => new FileStore(new FileStoreOptions
        {
            Path = specification.Path,
            ReadOnly = disk.ReadOnly,
            Direct = disk.Direct,
            Lock = disk.Lock,
        }),
    };
}

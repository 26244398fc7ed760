using System.Numerics;
using VhostXen.Linux;
using static VhostXen.Linux.LibC;

namespace Backends.Block.Stores;

/// <summary>Asks a file, or the block device it is, what it can do.</summary>
internal static unsafe class FileProperties
{
    public static StoreProperties Of(FileDescriptor file, in statx stat, bool isBlockDevice, bool readOnly, DirectAlignment direct)
        => isBlockDevice ? OfDevice(file, stat, readOnly) : OfFile(file, stat, readOnly, direct);

    private static StoreProperties OfFile(FileDescriptor file, in statx stat, bool readOnly, DirectAlignment direct)
    {
        uint logical = Math.Max(512, BitOperations.IsPow2(direct.Offset) ? direct.Offset : 0);
        uint physical = BitOperations.IsPow2(stat.stx_blksize) ? Math.Clamp(stat.stx_blksize, logical, 65536) : logical;
        return new StoreProperties(
            ReadOnly: readOnly,
            CanDiscard: !readOnly && CanPunch(file, stat.stx_size, physical),
            LogicalBlockSize: logical,
            PhysicalBlockSize: physical,
            DiscardGranularity: physical);
    }

    private static StoreProperties OfDevice(FileDescriptor file, in statx stat, bool readOnly)
    {
        uint logical = Math.Max(512, Ask(file, BLKSSZGET));
        uint physical = Math.Max(logical, Ask(file, BLKPBSZGET));
        string queue = $"/sys/dev/block/{stat.stx_rdev_major}:{stat.stx_rdev_minor}";
        ulong discardMax = ReadLimit(queue, "discard_max_bytes");
        ulong granularity = ReadLimit(queue, "discard_granularity");
        return new StoreProperties(
            ReadOnly: readOnly || Ask(file, BLKROGET) != 0,
            CanDiscard: !readOnly && discardMax != 0,
            LogicalBlockSize: logical,
            PhysicalBlockSize: physical,
            MinimumIoSize: Ask(file, BLKIOMIN),
            OptimalIoSize: Ask(file, BLKIOOPT),
            DiscardGranularity: granularity is > 0 and <= uint.MaxValue ? (uint)granularity : physical);
    }

    /// <summary>Punches past the end, which changes nothing and says whether it can be done.</summary>
    private static bool CanPunch(FileDescriptor file, ulong size, uint block)
    {
        ulong past = (size + block - 1) / block * block;
        return past < (ulong)long.MaxValue - block
            && FileIO.Fallocate(file.Value, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (long)past, block) == 0;
    }

    private static uint Ask(FileDescriptor file, nuint request)
    {
        uint value = 0;
        return FileIO.Ioctl(file.Value, request, &value) >= 0 ? value : 0;
    }

    /// <summary>A queue limit of the device, or of the disk that it is a partition of.</summary>
    private static ulong ReadLimit(string device, string name)
    {
        foreach (string path in (ReadOnlySpan<string>)[$"{device}/queue/{name}", $"{device}/../queue/{name}"])
        {
            try
            {
                return ulong.TryParse(File.ReadAllText(path).AsSpan().Trim(), out ulong value) ? value : 0;
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                continue;
            }
        }

        return 0;
    }
}

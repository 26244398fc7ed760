using VhostUser.Devices;
using VhostXen.Linux;
using static VhostXen.Linux.LibC;

namespace Backends.Block.Stores;

/// <summary>A raw image in a regular file, or a host block device.</summary>
internal sealed unsafe class FileStore : IBlockStore
{
    private readonly string _path;
    private readonly FileDescriptor _file;
    private readonly FileDescriptor? _direct;
    private ulong _length;

    /// <summary>Opens and locks the file.</summary>
    /// <exception cref="StoreException">It is not there, in use, or not of a kind that can be a disk.</exception>
    public FileStore(FileStoreOptions options)
    {
        _path = options.Path;
        FileDescriptor? file = null;
        try
        {
            file = Open(options.ReadOnly ? O_RDONLY : O_RDWR);
            statx stat = FileIO.Stat(file);
            IsBlockDevice = (stat.stx_mode & S_IFMT) switch
            {
                S_IFREG => false,
                S_IFBLK => true,
                S_IFDIR => throw new StoreException($"{_path} is a directory"),
                _ => throw new StoreException($"{_path} is neither a regular file nor a block device"),
            };
            if (options.Lock)
                FileLock.Take(file, _path, exclusive: !options.ReadOnly);

            if (options.Direct)
                _direct = OpenDirect(options.ReadOnly);

            _file = file;
            IsInMemory = !IsBlockDevice && IsMemoryFileSystem(file);
            _length = MeasureLength();
            DirectAlignment = options.Direct ? DirectAlignment.Of(stat, file, IsBlockDevice) : default;
            Properties = FileProperties.Of(file, stat, IsBlockDevice, options.ReadOnly, DirectAlignment);
            if (!options.ReadOnly && Properties.ReadOnly)
                throw new StoreException($"{_path} is write-protected: use --read-only");
        }
        catch (Exception e)
        {
            _direct?.Dispose();
            file?.Dispose();
            if (e is SystemCallException call)
                throw new StoreException($"{_path}: {call.Message}", call);

            throw;
        }
    }

    public StoreProperties Properties { get; }

    public ulong Length => Volatile.Read(ref _length);

    public bool IsBlockDevice { get; }

    /// <summary>The file system is memory: nothing there waits for a device.</summary>
    public bool IsInMemory { get; }

    public bool IsDirect => _direct is not null;

    /// <summary>What O_DIRECT asks of offsets and memory; void when it is not used.</summary>
    public DirectAlignment DirectAlignment { get; }

    /// <summary>The descriptor that goes through the page cache; with O_DIRECT, for requests too odd for it.</summary>
    public int BufferedFd => _file.Value;

    public int DirectFd => _direct!.Value;

    /// <summary>The host cannot punch holes here; learnt at the first refusal.</summary>
    public bool NoPunch { get; set; }

    /// <summary>The host cannot zero ranges here; learnt at the first refusal.</summary>
    public bool NoZeroRange { get; set; }

    /// <summary>RWF_NOWAIT is refused here; learnt at the first refusal.</summary>
    public bool NoNowait { get; set; }

    /// <summary>Threads for what must not block the worker and cannot go to io_uring. They start when first used.</summary>
    public BlockingThreads Threads { get; } = new();

    public bool Refresh()
    {
        ulong length;
        try
        {
            length = MeasureLength();
        }
        catch (SystemCallException)
        {
            return false;
        }

        return Interlocked.Exchange(ref _length, length) != length;
    }

    public int Flush() => Properties.ReadOnly ? 0 : -FileIO.Fdatasync(_file.Value);

    public IStoreChannel OpenChannel(VirtqueueWorker worker) => new FileChannel(this, worker);

    public void Dispose()
    {
        Threads.Dispose();
        _direct?.Dispose();
        _file.Dispose();
    }

    private FileDescriptor Open(int flags)
    {
        try
        {
            return FileDescriptor.Open(_path, flags);
        }
        catch (SystemCallException e)
        {
            throw new StoreException(
                e.Error switch
                {
                    ENOENT => $"{_path} does not exist",
                    EACCES or EPERM => $"no permission to open {_path}{(flags == O_RDONLY ? "" : " for writing")}",
                    EROFS => $"{_path} is on a read-only file system: use --read-only",
                    EISDIR => $"{_path} is a directory",
                    EBUSY => $"{_path} is in use by the kernel",
                    _ => e.Message,
                },
                e);
        }
    }

    private FileDescriptor OpenDirect(bool readOnly)
    {
        try
        {
            return FileDescriptor.Open(_path, (readOnly ? O_RDONLY : O_RDWR) | O_DIRECT);
        }
        catch (SystemCallException e) when (e.Error == EINVAL)
        {
            throw new StoreException($"the file system of {_path} does not support O_DIRECT: leave out --direct", e);
        }
    }

    private ulong MeasureLength()
    {
        if (!IsBlockDevice)
            return FileIO.Stat(_file).stx_size;

        ulong bytes = 0;
        int result = FileIO.Ioctl(_file.Value, BLKGETSIZE64, &bytes);
        return result >= 0 ? bytes : throw new SystemCallException("ioctl BLKGETSIZE64", -result);
    }

    private static bool IsMemoryFileSystem(FileDescriptor file)
    {
        statfs info;
        return fstatfs(file.Value, &info) == 0 && info.f_type is (TMPFS_MAGIC or RAMFS_MAGIC);
    }
}

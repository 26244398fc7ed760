using System.Text;
using Backends.Block.Stores;
using Microsoft.Extensions.Logging;
using VhostUser.Devices;

namespace Backends.Block.Device;

/// <summary>A virtio block device over a store, which it owns.</summary>
internal sealed class BlockDevice : VirtioDevice
{
    /// <summary>Bytes of a serial number on the wire.</summary>
    public const int SerialSize = 20;

    // With the header and the status this fills a ring of 128, the size that front-ends use unless told otherwise; a
    // chain may not be longer than its ring, not even an indirect one.
    private const int MostSegments = 126;

    private readonly BlockDeviceOptions _options;
    private readonly ILogger _logger;
    private readonly byte[] _serial = new byte[SerialSize];
    private readonly BlockQueue?[] _queues;
    private ulong _sectors;
    private ulong _negotiated;
    private bool _writeback;
    private bool _writethrough;

    /// <exception cref="StoreException">Store and options do not fit together.</exception>
    public BlockDevice(IBlockStore store, BlockDeviceOptions options, ILogger logger)
    {
        Store = store;
        _options = options;
        _logger = logger;
        _queues = new BlockQueue?[options.Queues];
        LogicalBlockSize = options.LogicalBlockSize != 0 ? options.LogicalBlockSize : store.Properties.LogicalBlockSize;
        if (store.Length < LogicalBlockSize)
            throw new StoreException($"{options.Name}: {store.Length} bytes is less than one block of {LogicalBlockSize}");

        if (store.Length % BlockRules.SectorSize != 0)
            logger.OddLength(options.Name, store.Length % BlockRules.SectorSize);

        Encoding.ASCII.GetBytes(options.Serial.AsSpan(0, Math.Min(options.Serial.Length, SerialSize)), _serial);
        MeasureSectors();
        Reset();
        SetFeatures(0);
    }

    public override string Type => "block";

    public override uint DeviceId => 2;

    public override int QueueCount => _options.Queues;

    public override int MaxQueueSize => _options.QueueSize;

    public override int ConfigSize => BlockConfig.Size;

    public override ulong Features
    {
        get
        {
            ulong features = BlockFeatures.SizeMax | BlockFeatures.SegMax | BlockFeatures.BlkSize | BlockFeatures.Topology
                | BlockFeatures.Flush | BlockFeatures.ConfigWce | BlockFeatures.Mq;
            if (ReadOnly)
                return features | BlockFeatures.ReadOnly;

            features |= BlockFeatures.WriteZeroes;
            return Store.Properties.CanDiscard ? features | BlockFeatures.Discard : features;
        }
    }

    public string Name => _options.Name;

    public IBlockStore Store { get; }

    public bool ReadOnly => _options.ReadOnly || Store.Properties.ReadOnly;

    /// <summary>In bytes.</summary>
    public uint LogicalBlockSize { get; }

    /// <summary>Capacity in units of 512 bytes: whole logical blocks.</summary>
    public ulong Sectors => Volatile.Read(ref _sectors);

    /// <summary>A write completes only once it is stable.</summary>
    public bool Writethrough => Volatile.Read(ref _writethrough);

    public ReadOnlySpan<byte> Serial => _serial;

    /// <summary>What all queues did.</summary>
    public IEnumerable<BlockCounters> Counters => _queues.OfType<BlockQueue>().Select(static queue => queue.Counters);

    public override void ReadConfig(Span<byte> config) => BlockConfig.Write(
        config,
        Sectors,
        (uint)Math.Min(MostSegments, _options.QueueSize - 2),
        LogicalBlockSize,
        ReadOnly ? Store.Properties with { ReadOnly = true } : Store.Properties,
        _writeback,
        (ushort)_options.Queues);

    /// <summary>
    /// Only writeback can be written. A wider range is a front-end that hands the whole space back (a migration):
    /// taken, when the rest is as we have it.
    /// </summary>
    public override bool WriteConfig(int offset, ReadOnlySpan<byte> data)
    {
        int at = BlockConfig.WritebackOffset - offset;
        if (at < 0 || at >= data.Length || data[at] > 1)
            return false;

        Span<byte> now = stackalloc byte[BlockConfig.Size];
        now.Clear();
        ReadConfig(now);
        now[BlockConfig.WritebackOffset] = data[at];
        if (!data.SequenceEqual(now.Slice(offset, data.Length)))
            return false;

        bool writeback = data[at] != 0;
        bool flush = _writeback && !writeback;
        _writeback = writeback;
        UpdateMode();

        // From here on the driver sends no flush for what it wrote before.
        return !flush || Store.Flush() == 0;
    }

    public override void SetFeatures(ulong features)
    {
        _negotiated = features;

        // A driver without FLUSH cannot flush: it starts in writethrough (virtio 1.3, 5.2.5.2).
        if ((features & BlockFeatures.ConfigWce) != 0 && (features & BlockFeatures.Flush) == 0)
            _writeback = false;

        UpdateMode();
    }

    public override QueueHandler CreateHandler(VirtqueueWorker worker, int queueIndex)
    {
        BlockQueue queue = new(this, queueIndex, Store.OpenChannel(worker), _logger);
        _queues[queueIndex] = queue;
        return queue;
    }

    public override void Reset()
    {
        _writeback = _options.Writeback;
        UpdateMode();
    }

    /// <summary>Looks whether the disk grew or shrank and tells the guest. Any thread.</summary>
    public void Refresh()
    {
        if (!Store.Refresh())
            return;

        MeasureSectors();
        _logger.Resized(Name, Store.Length);
        NotifyConfigChanged();
    }

    public override void Dispose()
    {
        Store.Dispose();
        base.Dispose();
    }

    private void MeasureSectors()
        => Volatile.Write(ref _sectors, Store.Length / LogicalBlockSize * (LogicalBlockSize / BlockRules.SectorSize));

    /// <summary>When a completed write is stable (virtio 1.3, 5.2.6.2).</summary>
    private void UpdateMode()
    {
        bool writethrough = (_negotiated & (BlockFeatures.ConfigWce | BlockFeatures.Flush)) switch
        {
            0 => true,
            BlockFeatures.Flush => !_options.Writeback,
            _ => !_writeback,
        };
        Volatile.Write(ref _writethrough, writethrough);
    }
}

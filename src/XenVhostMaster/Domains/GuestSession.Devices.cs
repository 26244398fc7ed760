using XenMemoryProvider.Abi;
using XenVhostMaster.Frontends;
using XenVhostMaster.Transports;
using XenVhostMaster.Transports.Mmio;
using XenVhostMaster.Transports.Pci;

namespace XenVhostMaster.Domains;

/// <content>Devices come and go, also while the guest runs.</content>
internal sealed partial class GuestSession
{
    private long _kicks;

    /// <summary>Adds a device when its back-end is there. A running guest finds a PCI function by rescanning the bus.</summary>
    /// <exception cref="IOException">The back-end, or Xen, refused.</exception>
    /// <exception cref="InvalidOperationException">The place is taken, or there is none.</exception>
    public async Task<AttachedDevice> AttachAsync(DeviceOptions options, CancellationToken cancellation)
    {
        // A back-end may be a long time coming, and the guest may end first.
        using var until = CancellationTokenSource.CreateLinkedTokenSource(cancellation, _closing.Token);
        await _changing.WaitAsync(until.Token).ConfigureAwait(false);
        var link = new BackendLink(options.Backend, this, _logger);
        try
        {
            BackendFacts facts = await link.ConnectAsync(until.Token).ConfigureAwait(false);
            AttachedDevice device = await _io.InvokeAsync(() => Place(options, link, facts)).ConfigureAwait(false);
            lock (_devices)
                _devices.Add(device);

            _logger.DeviceAdded(Identity.ToString(), device.Name, device.Slot >= 0
                ? string.Create(System.Globalization.CultureInfo.InvariantCulture, $"PCI slot {device.Slot}")
                : string.Create(System.Globalization.CultureInfo.InvariantCulture, $"0x{device.MmioBase:x}, interrupt {options.Irq}"));
            return device;
        }
        catch
        {
            await link.DisposeAsync().ConfigureAwait(false);
            throw;
        }
        finally
        {
            _changing.Release();
        }
    }

    /// <summary>Takes a device out.</summary>
    public async Task DetachAsync(AttachedDevice device)
    {
        await _changing.WaitAsync().ConfigureAwait(false);
        try
        {
            lock (_devices)
            {
                if (!_devices.Remove(device))
                    return;
            }

            await device.Link.StopAsync().ConfigureAwait(false);
            await _io.InvokeAsync(() => TakeOut(device)).ConfigureAwait(false);
            await device.Link.DisposeAsync().ConfigureAwait(false);
            _kicks += device.Link.Kicks;
            _logger.DeviceRemoved(Identity.ToString(), device.Name);
        }
        finally
        {
            _changing.Release();
        }
    }

    private AttachedDevice Place(DeviceOptions options, BackendLink link, BackendFacts facts)
    {
        BackendOptions backend = options.Backend;
        var model = new VirtioDeviceModel(backend.Kind.Id, facts.Queues, backend.QueueSize, facts.Features, backend.Grants, link);
        model.SetConfig(facts.Config);
        AttachedDevice device = options.Transport == TransportKind.Pci ? PlacePci(options, link, model) : PlaceMmio(options, link, model);
        link.Run(model);
        return device;
    }

    private AttachedDevice PlacePci(DeviceOptions options, BackendLink link, VirtioDeviceModel model)
    {
        if (Identity.Kind == GuestKind.Arm)
            throw new InvalidOperationException("an Arm guest has no PCI bus here: use transport=mmio");

        int slot = options.Slot ?? FreeSlot();
        if (_bus[slot] is not null)
            throw new InvalidOperationException($"PCI slot {slot} is taken");

        bool pvh = Identity.Kind == GuestKind.Pvh;
        uint bar = pvh ? FirstBar + (uint)slot * VirtioPciLayout.BarSize : 0;
        var function = new VirtioPciFunction(model, new VirtioPciOptions(options.Backend.Kind.PciClass, bar, HasPin: !pvh), _sink);
        _server.MapPci(DmOp.PciSbdf(0, 0, slot, 0));
        _bus.Add(slot, function);
        return new AttachedDevice(options, link, model, slot, 0, null);
    }

    private AttachedDevice PlaceMmio(DeviceOptions options, BackendLink link, VirtioDeviceModel model)
    {
        if (options is not { MmioBase: { } start, Irq: { } irq })
            throw new InvalidOperationException("transport=mmio needs base= and irq=");

        ulong end = start + VirtioMmioRegister.RangeSize - 1;
        if (_layout.Contains(new VhostUser.Protocol.GuestAddress(start)) || _layout.Contains(new VhostUser.Protocol.GuestAddress(end)))
            throw new InvalidOperationException($"0x{start:x} is RAM");

        _server.MapMemory(start, end);
        var mmio = new VirtioMmioDevice(model, new MmioLine(_server.Model, irq, Counters));
        _dispatcher.Add(start, mmio);
        return new AttachedDevice(options, link, model, -1, start, mmio);
    }

    private bool TakeOut(AttachedDevice device)
    {
        device.Link.Unwatch();
        try
        {
            if (device.Mmio is { } mmio)
            {
                _dispatcher.Remove(mmio);
                _server.UnmapMemory(device.MmioBase, device.MmioBase + VirtioMmioRegister.RangeSize - 1);
            }
            else
            {
                _bus.Remove(device.Slot);
                _server.UnmapPci(DmOp.PciSbdf(0, 0, device.Slot, 0));
            }
        }
        catch (XenMemoryProvider.Kernel.XenException e)
        {
            // The guest is gone, and its claims with it.
            _logger.OperationFailed(Identity.ToString(), $"giving {device.Name} back", e.Message);
        }

        return true;
    }

    private int FreeSlot()
    {
        int first = Identity.Kind == GuestKind.Hvm ? FirstSlotBesideQemu : 1;
        for (int slot = first; slot < PciBus.Slots; slot++)
        {
            if (_bus[slot] is null)
                return slot;
        }

        throw new InvalidOperationException("no PCI slot is free");
    }
}

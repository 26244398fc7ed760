namespace XenVhostMaster.Transports;

/// <content>Feature bits, read and written 32 at a time.</content>
internal sealed partial class VirtioDeviceModel
{
    private bool _unknownFeatures;

    /// <summary>What the device can do.</summary>
    public ulong OfferedFeatures { get; private set; }

    /// <summary>What the driver took.</summary>
    public ulong DriverFeatures { get; private set; }

    public uint DeviceFeatureSelect { get; set; }

    public uint DriverFeatureSelect { get; set; }

    /// <summary>The selected 32 offered bits.</summary>
    public uint DeviceFeatureWord => Word(OfferedFeatures, DeviceFeatureSelect);

    /// <summary>The selected 32 taken bits.</summary>
    public uint DriverFeatureWord
    {
        get => Word(DriverFeatures, DriverFeatureSelect);
        set
        {
            // Agreed on, or being taken back: too late to change.
            if (_resetting || (Status & VirtioStatus.FeaturesOk) != 0)
                return;

            switch (DriverFeatureSelect)
            {
                case 0:
                    DriverFeatures = DriverFeatures & ~0xffff_ffffUL | value;
                    break;
                case 1:
                    DriverFeatures = DriverFeatures & 0xffff_ffffUL | (ulong)value << 32;
                    break;
                default:
                    _unknownFeatures |= value != 0;
                    break;
            }
        }
    }

    /// <summary>A back-end came back and offers something else. A driver that is set up keeps what it has.</summary>
    /// <returns>False when what the driver took is not on offer any more.</returns>
    public bool Reoffer(ulong backendFeatures)
    {
        ulong offer = TransportFeatures.Offer(backendFeatures, _accessPlatform);
        if ((Status & VirtioStatus.FeaturesOk) != 0 && (DriverFeatures & ~offer) != 0)
            return false;

        OfferedFeatures = offer;
        return true;
    }

    private static uint Word(ulong features, uint select) => select < 2 ? (uint)(features >> (32 * (int)select)) : 0;

    private void ResetFeatures()
    {
        DriverFeatures = 0;
        _unknownFeatures = false;
        DeviceFeatureSelect = DriverFeatureSelect = 0;
    }
}

namespace TestKit;

/// <summary>A used entry as the driver found it.</summary>
/// <param name="Id">What <see cref="DriverRing.Add(ReadOnlySpan{VhostUser.Memory.GuestRange}, bool)"/> answered.</param>
/// <param name="Written">Bytes that the device says it wrote.</param>
public readonly record struct UsedBuffer(ushort Id, uint Written);

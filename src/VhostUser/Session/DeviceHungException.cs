namespace VhostUser.Session;

/// <summary>The device holds requests longer than <see cref="SessionOptions.StopTimeout"/> while a ring of its stops.</summary>
internal sealed class DeviceHungException : Exception;

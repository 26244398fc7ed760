using Backends.Block.Stores;

namespace Fuzz.Oracles;

/// <summary>One operation that a store was asked for.</summary>
/// <param name="Operation">What.</param>
/// <param name="Offset">First byte.</param>
/// <param name="Length">Bytes.</param>
/// <param name="Durable">Stable once completed; told of what changes the disk alone.</param>
/// <param name="MayUnmap">May give space back; told of write-zeroes alone.</param>
internal readonly record struct StoreStep(StoreOperation Operation, ulong Offset, ulong Length, bool Durable, bool MayUnmap);

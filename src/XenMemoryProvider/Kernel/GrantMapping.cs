namespace XenMemoryProvider.Kernel;

/// <summary>
/// Grants mapped one after the other by <see cref="IGntdev.Map"/>: a value, so that mapping a request's pages allocates nothing.
/// Who holds it gives it to <see cref="IGntdev.Unmap"/> exactly once.
/// </summary>
/// <param name="Address">Of the first page.</param>
/// <param name="Pages">How many.</param>
/// <param name="Index">The device's name for it.</param>
public readonly record struct GrantMapping(nint Address, int Pages, ulong Index);

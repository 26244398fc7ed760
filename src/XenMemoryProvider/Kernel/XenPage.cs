namespace XenMemoryProvider.Kernel;

/// <summary>The page of Xen's interfaces.</summary>
public static class XenPage
{
    /// <summary>log2 of <see cref="Size"/>.</summary>
    public const int Shift = 12;

    /// <summary>Bytes.</summary>
    public const int Size = 1 << Shift;

    /// <summary>The whole pages that hold so many bytes.</summary>
    public static nuint RoundUp(nuint bytes) => checked(bytes + (Size - 1)) & ~(nuint)(Size - 1);
}

namespace XenModel.Memory;

/// <summary>One machine frame: whose pool, and which.</summary>
internal readonly record struct FrameReference(FramePool Pool, uint Frame)
{
    public unsafe byte* Page => Pool.Page(Frame);

    public Span<byte> Bytes => Pool.Bytes(Frame);

    public ulong Mfn => Pool.Mfn(Frame);

    public void AddReference() => Pool.AddReference(Frame);

    public void Release() => Pool.Release(Frame);
}

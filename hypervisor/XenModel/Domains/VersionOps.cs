using XenMemoryProvider.Abi;

namespace XenModel.Domains;

/// <summary>xen_version: 4.17, and what this one can do.</summary>
internal static class VersionOps
{
    private const int Version = 4 << 16 | 17;

    // Order: version, extraversion, compile_info, capabilities, changeset, platform_parameters, get_features, pagesize.
    private const int GetVersion = 0, ExtraVersion = 1, PageSize = 7;

    public static int Call(ulong command, ulong argument, CallerMemory memory)
    {
        switch (command)
        {
            case GetVersion:
                return Version;
            case ExtraVersion:
                if (!memory.TrySlice(argument, 16, out Span<byte> text)) return -(int)XenErrno.EFAULT;
                text.Clear();
                "-model"u8.CopyTo(text);
                return 0;
            case PageSize:
                return Memory.FramePool.PageSize;
            default:
                return -(int)XenErrno.ENOSYS;
        }
    }
}

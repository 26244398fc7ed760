using XenMemoryProvider.Abi;

namespace XenModel.Store;

/// <summary>A request is refused: becomes an ERROR reply.</summary>
internal sealed class StoreError(XenErrno error) : Exception(error.ToString())
{
    public XenErrno Error { get; } = error;
}

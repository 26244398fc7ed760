using VhostXen.Linux;

namespace VhostUser.Session;

/// <summary>
/// What a back-end may ask of its front-end. Everything has an answer already: override what the front-end can do.
/// Called one at a time, from the channel's own loop.
/// </summary>
public interface IBackendRequestHandler
{
    /// <summary>The configuration space changed (CONFIG_CHANGE_MSG).</summary>
    void ConfigChanged()
    {
    }

    /// <summary>A ring wants an interrupt (VRING_CALL, where there is no call eventfd).</summary>
    void Call(int queue)
    {
    }

    /// <summary>A ring is broken (VRING_ERR, where there is no error eventfd).</summary>
    void RingError(int queue)
    {
    }

    /// <summary>The back-end lacks a translation (IOTLB_MSG, miss). Answer with <see cref="FrontendSession.UpdateIotlbAsync"/>.</summary>
    void IotlbMiss(ulong address, bool write)
    {
    }

    /// <summary>Shows part of a file to the guest (SHMEM_MAP). The handler owns the descriptor.</summary>
    /// <returns>False to refuse.</returns>
    bool MapSharedMemory(byte region, ulong fdOffset, ulong regionOffset, ulong length, bool writable, FileDescriptor fd)
    {
        fd.Dispose();
        return false;
    }

    /// <summary>Takes it away again (SHMEM_UNMAP).</summary>
    /// <returns>False when there is no such mapping.</returns>
    bool UnmapSharedMemory(byte region, ulong regionOffset, ulong length) => false;
}

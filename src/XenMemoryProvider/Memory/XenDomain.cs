using Microsoft.Extensions.Logging;
using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;

namespace XenMemoryProvider.Memory;

/// <summary>
/// The devices through which one guest's memory is reached, opened when the first region needs them and closed when the
/// last region and the last chain have let go.
/// </summary>
internal sealed class XenDomain
{
    private readonly IXenKernel _kernel;
    private readonly XenMemoryOptions _options;
    private readonly ILogger _logger;
    private readonly Action<XenDomain> _closed;
    private readonly Lock _lock = new();
    private IPrivcmd? _privcmd;
    private IGntdev? _gntdev;
    private GrantMapper? _mapper;
    private int _users = 1;

    internal XenDomain(ushort domid, IXenKernel kernel, XenMemoryOptions options, ILogger logger, Action<XenDomain> closed)
    {
        Domid = domid;
        _kernel = kernel;
        _options = options;
        _logger = logger;
        _closed = closed;
    }

    internal ushort Domid { get; }

    /// <summary>One for all regions of the guest: a chain may have buffers in several.</summary>
    internal GrantMapper Mapper
    {
        get
        {
            IGntdev gntdev = Gntdev;
            lock (_lock) return _mapper ??= new GrantMapper(this, gntdev, _options);
        }
    }

    /// <exception cref="XenException">It cannot be opened.</exception>
    internal IGntdev Gntdev
    {
        get
        {
            lock (_lock) return _gntdev ??= _kernel.OpenGntdev();
        }
    }

    /// <exception cref="XenException">It cannot be opened.</exception>
    internal IPrivcmd Privcmd
    {
        get
        {
            lock (_lock) return _privcmd ??= OpenPrivcmd();
        }
    }

    /// <returns>False: it is closing; make another.</returns>
    internal bool TryAddUser()
    {
        int users = Volatile.Read(ref _users);
        while (users != 0)
        {
            int seen = Interlocked.CompareExchange(ref _users, users + 1, users);
            if (seen == users) return true;
            users = seen;
        }
        return false;
    }

    internal void RemoveUser()
    {
        if (Interlocked.Decrement(ref _users) != 0) return;
        _closed(this);
        _mapper?.Dispose();
        _gntdev?.Dispose();
        _privcmd?.Dispose();
    }

    // From here on this handle reaches this guest only, whatever goes wrong in this process.
    private IPrivcmd OpenPrivcmd()
    {
        IPrivcmd privcmd = _kernel.OpenPrivcmd();
        try
        {
            privcmd.Restrict(Domid);
        }
        catch (XenException e) when (e.Error == (XenErrno)VhostXen.Linux.LibC.ENOTTY)
        {
            _logger.NotRestricted(Domid); // Linux before 4.11.
        }
        catch
        {
            privcmd.Dispose();
            throw;
        }
        return privcmd;
    }
}

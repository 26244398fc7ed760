namespace VhostUser.Memory;

/// <summary>What must be given back once a chain's buffers are no longer touched; void for memory mapped in advance.</summary>
public readonly struct MemoryLease
{
    private readonly IOnDemandMapper? _mapper;
    private readonly ulong _token;

    internal MemoryLease(IOnDemandMapper mapper, ulong token)
    {
        _mapper = mapper;
        _token = token;
    }

    internal bool IsVoid => _mapper is null;

    internal void Release() => _mapper?.Release(_token);
}

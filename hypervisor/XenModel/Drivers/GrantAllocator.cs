using XenMemoryProvider.Abi;
using XenModel.Domains;
using XenModel.Grants;

namespace XenModel.Drivers;

/// <summary>
/// The granting side of a domain's kernel: free references, entries written and revoked as Linux does, and a list of those that
/// could not be revoked because somebody had them mapped. With the gate held.
/// </summary>
internal sealed unsafe class GrantAllocator(Domain domain)
{
    private readonly Stack<uint> _free = new();
    private readonly List<(uint Reference, Action Revoked)> _deferred = [];
    private uint _next = GrantTableOp.ReservedEntries;

    /// <summary>Grants still in use after they were given up.</summary>
    public int Deferred => _deferred.Count;

    /// <summary>Grants a frame. False: the table is full.</summary>
    public bool TryGrant(ushort grantee, ulong gfn, bool readOnly, out uint reference)
    {
        RetryDeferred();
        GrantTable table = domain.Grants;
        if (!_free.TryPop(out reference))
        {
            if (_next >= table.EntryCount && !table.Grow(table.FrameCount + 1)) return false;
            reference = _next++;
        }

        GrantFlags flags = GrantFlags.PermitAccess | (readOnly ? GrantFlags.ReadOnly : 0);
        if (table.Version == 1)
        {
            GrantEntryV1* entry = table.EntryV1(reference);
            entry->Domid = grantee;
            entry->Frame = (uint)gfn;

            // Releases: domain and frame are in place before the flags grant anything.
            Volatile.Write(ref *(ushort*)entry, (ushort)flags);
        }
        else
        {
            GrantEntryV2* entry = table.EntryV2(reference);
            entry->Domid = grantee;
            entry->Frame = gfn;
            Volatile.Write(ref *(ushort*)entry, (ushort)flags);
        }

        return true;
    }

    /// <summary>Takes a grant back, now or as soon as nobody uses it.</summary>
    public void Revoke(uint reference, Action revoked)
    {
        RetryDeferred();
        if (!TryRevoke(reference)) _deferred.Add((reference, revoked));
        else Finish(reference, revoked);
    }

    /// <summary>Revokes what could not be revoked before.</summary>
    public void RetryDeferred()
    {
        for (int i = _deferred.Count - 1; i >= 0; i--)
        {
            (uint reference, Action revoked) = _deferred[i];
            if (!TryRevoke(reference)) continue;
            _deferred.RemoveAt(i);
            Finish(reference, revoked);
        }
    }

    private void Finish(uint reference, Action revoked)
    {
        _free.Push(reference);
        revoked();
    }

    private bool TryRevoke(uint reference)
    {
        GrantTable table = domain.Grants;
        if (reference >= table.EntryCount) return true;
        const GrantFlags used = GrantFlags.Reading | GrantFlags.Writing;
        if (table.Version == 2)
        {
            GrantEntryV2* entry = table.EntryV2(reference);
            Volatile.Write(ref *(ushort*)entry, 0);

            // A full barrier, paired with Xen's between marking the status and reading the flags again.
            Interlocked.MemoryBarrier();
            return ((GrantFlags)Volatile.Read(ref table.StatusWord(reference)) & used) == 0;
        }

        ref ushort flags = ref *(ushort*)table.EntryV1(reference);
        ushort seen = Volatile.Read(ref flags);
        while (((GrantFlags)seen & used) == 0)
        {
            ushort was = Interlocked.CompareExchange(ref flags, 0, seen);
            if (was == seen) return true;
            seen = was;
        }

        return false;
    }
}

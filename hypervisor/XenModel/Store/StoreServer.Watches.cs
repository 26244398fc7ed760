using System.Globalization;
using System.Text;
using XenMemoryProvider.Abi;
using Type = XenMemoryProvider.Abi.Xenstore.MessageType;

namespace XenModel.Store;

internal sealed partial class StoreServer
{
    private readonly List<StoreChange> _pending = [];

    private void Watch(Request request, string[] arguments)
    {
        StoreClient client = request.Client;
        string name = arguments[0];
        bool special = name.StartsWith('@');
        if (special && name.Length > Xenstore.RelativePathMax) throw new StoreError(XenErrno.EINVAL);

        // Anybody may watch special paths, even those that are none. Who may not read them hears of the watch itself alone.
        string path = special ? name : Path(request, name);
        var watch = new StoreClient.Watch(path, arguments[1], Relative: !special && name[0] != '/');
        if (client.Watches.Any(other => other.Path == path && other.Token == watch.Token)) throw new StoreError(XenErrno.EEXIST);
        if (!client.Privileged && client.Watches.Count > StoreQuotas.Watches) throw new StoreError(XenErrno.E2BIG);
        client.Watches.Add(watch);

        // First the answer, then the event that every new watch begins with, whether the node exists or not.
        Acknowledge(request);
        client.SendEvent(watch, path);
    }

    private static void Unwatch(Request request, string[] arguments)
    {
        StoreClient client = request.Client;
        string path = arguments[0].StartsWith('@') ? arguments[0] : Path(request, arguments[0]);
        int index = client.Watches.FindIndex(watch => watch.Path == path && watch.Token == arguments[1]);
        if (index < 0) throw new StoreError(XenErrno.ENOENT);
        client.Watches.RemoveAt(index);
        Acknowledge(request);
    }

    private void StartTransaction(Request request)
    {
        StoreClient client = request.Client;
        if (request.Transaction is not null) throw new StoreError(XenErrno.EBUSY);
        if (!client.Privileged && client.Transactions.Count > StoreQuotas.Transactions) throw new StoreError(XenErrno.ENOSPC);
        do
        {
            client.LastTransactionId++;
        }
        while (client.LastTransactionId == 0 || client.Transactions.ContainsKey(client.LastTransactionId));

        client.Transactions.Add(client.LastTransactionId, new StoreTransaction(client.LastTransactionId, _tree));
        Reply(request, Encoding.ASCII.GetBytes(client.LastTransactionId.ToString(CultureInfo.InvariantCulture) + "\0"));
    }

    private void EndTransaction(Request request, string verdict)
    {
        if (verdict is not ("T" or "F")) throw new StoreError(XenErrno.EINVAL);
        if (request.Transaction is not { } transaction) throw new StoreError(XenErrno.ENOENT);
        request.Client.Transactions.Remove(transaction.Id);
        if (verdict == "T")
        {
            if (!transaction.TryCommit()) throw new StoreError(XenErrno.EAGAIN);
            _pending.AddRange(transaction.Changes);
        }

        Fire();
        Acknowledge(request);
    }

    private void DispatchPrivileged(Request request, ReadOnlySpan<byte> payload)
    {
        switch (request.Header.Type)
        {
            case Type.Introduce or Type.Release or Type.IsDomainIntroduced or Type.Resume or Type.SetTarget or Type.Control when !request.Client.Privileged:
                throw new StoreError(XenErrno.EACCES);
            case Type.Introduce:
                string[] introduction = Strings(payload, 3);
                ushort introduced = Number(introduction[0]);
                Acknowledge(request);
                _introduced.Add(introduced);
                FireSpecial(StorePath.IntroduceDomain);
                break;
            case Type.Release:
                ushort released = Number(Single(payload));
                if (released == 0) throw new StoreError(XenErrno.EINVAL);
                if (!_introduced.Remove(released)) throw new StoreError(XenErrno.ENOENT);
                Acknowledge(request);
                FireSpecial(StorePath.ReleaseDomain);
                break;
            case Type.IsDomainIntroduced:
                ushort asked = Number(Single(payload));
                Reply(request, asked == 0 || _introduced.Contains(asked) ? "T\0"u8 : "F\0"u8);
                break;
            case Type.Resume:
                if (!_introduced.Contains(Number(Single(payload)))) throw new StoreError(XenErrno.ENOENT);
                Acknowledge(request);
                break;
            case Type.SetTarget:
                if (Strings(payload, 2).Any(text => !_introduced.Contains(Number(text)))) throw new StoreError(XenErrno.ENOENT);
                Acknowledge(request);
                break;
            case Type.Control:
                if (Single(payload) != "help") throw new StoreError(XenErrno.EINVAL);
                Reply(request, "help\0"u8);
                break;
            default:
                throw new StoreError(XenErrno.ENOSYS);
        }
    }

    // In a transaction a change is told at its end, or never.
    private void Note(Request request, in StoreChange change)
    {
        List<StoreChange> changes = request.Transaction?.Changes ?? _pending;
        if (changes.Count == 0 || changes[^1] != change) changes.Add(change);
    }

    // Whoever made the change hears of it before the answer, as everybody may.
    private void Fire()
    {
        foreach (StoreChange change in _pending)
        {
            foreach (StoreClient client in _clients) client.Notify(change);
        }

        _pending.Clear();
    }

    private void FireSpecial(string path)
    {
        var change = new StoreChange(path, _special[path], ExactOnly: true);
        foreach (StoreClient client in _clients) client.Notify(change);
    }
}

using System.Text;
using XenMemoryProvider.Abi;

namespace XenModel.Store;

/// <summary>One connection: who it is, its watches and transactions, and where its messages go.</summary>
/// <param name="domid">The connected domain.</param>
/// <param name="privileged">Domain 0, or a process on the host's socket.</param>
/// <param name="send">Takes a whole message; must not block.</param>
internal sealed class StoreClient(ushort domid, bool privileged, Action<byte[]> send)
{
    public ushort Domid => domid;

    public bool Privileged => privileged;

    public List<Watch> Watches { get; } = [];

    public Dictionary<uint, StoreTransaction> Transactions { get; } = [];

    public uint LastTransactionId { get; set; }

    public void Send(Xenstore.MessageType type, uint requestId, uint transactionId, ReadOnlySpan<byte> payload)
    {
        byte[] message = new byte[Xenstore.HeaderSize + payload.Length];
        var header = new Xenstore.Header { Type = type, RequestId = requestId, TransactionId = transactionId, Length = (uint)payload.Length };
        System.Runtime.InteropServices.MemoryMarshal.Write(message, header);
        payload.CopyTo(message.AsSpan(Xenstore.HeaderSize));
        send(message);
    }

    /// <summary>Tells this client of a change, once per watch that covers it and if it may know.</summary>
    public void Notify(in StoreChange change)
    {
        foreach (Watch watch in Watches)
        {
            if (change.ExactOnly ? watch.Path != change.Path : !StorePath.IsWithin(change.Path, watch.Path)) continue;
            if ((change.Permissions.Of(domid, privileged) & StorePermissions.Access.Read) == 0) continue;
            SendEvent(watch, change.Path);
        }
    }

    public void SendEvent(Watch watch, string path)
    {
        string home = StorePath.Home(domid) + "/";
        string shown = watch.Relative && path.StartsWith(home, StringComparison.Ordinal) ? path[home.Length..] : path;
        Send(Xenstore.MessageType.WatchEvent, 0, 0, Encoding.Latin1.GetBytes($"{shown}\0{watch.Token}\0"));
    }

    /// <param name="Path">Absolute, or special.</param>
    /// <param name="Token">The client's.</param>
    /// <param name="Relative">It was given relative to the domain's home, and so are its events.</param>
    public sealed record Watch(string Path, string Token, bool Relative);
}

using XenModel.Domains;

namespace XenModel.Store;

/// <summary>
/// xenstored beside a hypervisor: connections from domains and host processes, and for every domain the nodes that xl writes,
/// from its creation to its end.
/// </summary>
public sealed class XenStoreDaemon : IAsyncDisposable
{
    private readonly StoreServer _server;
    private readonly CancellationTokenSource _stop = new();
    private readonly Lock _gate = new();
    private readonly List<Task> _sessions = [];
    private readonly HashSet<ushort> _known = [];
    private readonly DomainNodes _nodes;

    public XenStoreDaemon(Hypervisor hypervisor)
    {
        _server = new StoreServer(domid => hypervisor.Find(domid) is not null);
        _nodes = new DomainNodes(_server);
        _nodes.WriteDomain0();
        hypervisor.Watch(Changed);
        foreach (Domain domain in hypervisor.Domains) Changed(domain);
    }

    /// <summary>Nodes in the tree.</summary>
    public int NodeCount => _server.NodeCount;

    internal StoreServer Server => _server;

    /// <summary>A connection within this process.</summary>
    public Stream Connect(ushort domid)
    {
        (Stream client, Stream server) = DuplexStream.Pair();
        Serve(server, domid, privileged: domid == 0);
        return client;
    }

    /// <summary>Serves a connection until it ends; the stream becomes the daemon's.</summary>
    /// <param name="privileged">Domain 0, or a process on the host's socket.</param>
    public void Serve(Stream stream, ushort domid, bool privileged)
    {
        var session = new StoreSession(_server, stream, domid, privileged);
        lock (_gate)
        {
            _sessions.RemoveAll(task => task.IsCompleted);
            _sessions.Add(Task.Run(() => session.RunAsync(_stop.Token)));
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        Task[] left;
        lock (_gate) left = [.. _sessions];
        await Task.WhenAll(left).ConfigureAwait(false);
        _stop.Dispose();
    }

    private void Changed(Domain domain)
    {
        if (domain.Id == 0 || _stop.IsCancellationRequested) return;
        bool introduce, gone;
        lock (_gate)
        {
            introduce = !domain.IsDying && _known.Add(domain.Id);
            gone = domain.IsDying && _known.Remove(domain.Id);
            if (introduce) _nodes.Write(domain);
            if (gone) _nodes.Remove(domain);
        }

        if (introduce) _server.Introduce(domain.Id);
        else if (gone || domain.Shutdown is not null) _server.Release(domain.Id, gone);
    }
}

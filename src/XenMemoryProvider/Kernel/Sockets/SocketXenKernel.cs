using System.Net.Sockets;
using VhostXen.Linux;

namespace XenMemoryProvider.Kernel.Sockets;

/// <summary>A user-space Xen behind a Unix socket: each open is a connection of its own. See the room's README for the protocol.</summary>
/// <param name="path">Where the server listens.</param>
/// <param name="domid">The domain this process belongs to; 0 is the host.</param>
public sealed class SocketXenKernel(string path, ushort domid = 0) : IXenKernel
{
    /// <inheritdoc/>
    public IPrivcmd OpenPrivcmd() => new SocketPrivcmd(Open(WireDevice.Privcmd));

    /// <inheritdoc/>
    public IGntdev OpenGntdev() => new SocketGntdev(Open(WireDevice.Gntdev));

    /// <inheritdoc/>
    public IGntalloc OpenGntalloc() => new SocketGntalloc(Open(WireDevice.Gntalloc));

    /// <inheritdoc/>
    public IEvtchn OpenEvtchn() => new SocketEvtchn(Open(WireDevice.Evtchn));

    /// <inheritdoc/>
    public Stream OpenXenstore()
    {
        // From here on the bytes are xenstore's.
        FileDescriptor socket = Open(WireDevice.Xenstore).Socket;
        var handle = new SafeSocketHandle(socket.Value, ownsHandle: true);
        socket.SetHandleAsInvalid();
        return new NetworkStream(new Socket(handle), ownsSocket: true);
    }

    /// <summary>Sends a command to the server itself, such as "list" or "page-out guest 16 1"; "help" names them.</summary>
    /// <returns>What it answered.</returns>
    /// <exception cref="XenException">The command failed: EINVAL for one that it does not know.</exception>
    public string Command(string line)
    {
        using WireConnection connection = Open(WireDevice.Control);
        int result = connection.Request(WireOp.Command, System.Text.Encoding.UTF8.GetBytes(line), out ReadOnlySpan<byte> reply);
        string text = System.Text.Encoding.UTF8.GetString(reply);
        return result >= 0 ? text : throw new XenException(line, null, -result, text.Length == 0 ? null : text);
    }

    private WireConnection Open(WireDevice device)
    {
        FileDescriptor socket;
        try
        {
            socket = FdSocket.Connect(path);
        }
        catch (SystemCallException e)
        {
            throw new XenException(e.Call, null, e.Error, "Is xenmodel serving there?");
        }

        var connection = new WireConnection(socket);
        Span<uint> body = [(uint)device, domid];
        int result = connection.Request(WireOp.Open, System.Runtime.InteropServices.MemoryMarshal.AsBytes(body), out _);
        if (result >= 0) return connection;
        connection.Dispose();
        throw new XenException($"open {device} at {path}", domid, -result);
    }
}

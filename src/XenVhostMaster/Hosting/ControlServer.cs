using System.Globalization;
using System.Net.Sockets;
using System.Text;
using Microsoft.Extensions.Logging;
using XenVhostMaster.Domains;

namespace XenVhostMaster.Hosting;

/// <summary>
/// Commands over a Unix socket: a line in, lines out, the last of them "ok" or "error: ...". Only its owner may connect.
/// </summary>
internal sealed class ControlServer : IAsyncDisposable
{
    private const int LongestCommand = 4096;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    private readonly string _path;
    private readonly IReadOnlyList<GuestFollower> _guests;
    private readonly StoreFollower? _described;
    private readonly ILogger _logger;
    private readonly Socket _listener;
    private readonly CancellationTokenSource _stop = new();
    private readonly List<Task> _connections = [];
    private readonly Task _loop;

    private ControlServer(string path, IReadOnlyList<GuestFollower> guests, StoreFollower? described, Socket listener, ILogger logger)
    {
        _path = path;
        _guests = guests;
        _described = described;
        _listener = listener;
        _logger = logger;
        _loop = RunAsync();
    }

    /// <exception cref="IOException">The socket cannot be made.</exception>
    public static ControlServer Start(string path, IReadOnlyList<GuestFollower> guests, StoreFollower? described, ILogger logger)
    {
        var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            if (Path.GetDirectoryName(path) is { Length: > 0 } folder)
                Directory.CreateDirectory(folder);

            File.Delete(path);
            listener.Bind(new UnixDomainSocketEndPoint(path));
            if (!OperatingSystem.IsWindows())
                File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite);

            listener.Listen(8);
            return new ControlServer(path, guests, described, listener, logger);
        }
        catch (Exception e) when (e is SocketException or UnauthorizedAccessException)
        {
            listener.Dispose();
            throw new IOException($"control socket {path}: {e.Message}", e);
        }
    }

    /// <summary>Sends one command and prints what comes back.</summary>
    /// <returns>0 for "ok", 1 for anything else.</returns>
    public static async Task<int> SendAsync(string path, IReadOnlyList<string> command, TextWriter output, TextWriter errors)
    {
        try
        {
            using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(path)).ConfigureAwait(false);
            await using var stream = new NetworkStream(socket);
            await stream.WriteAsync(Encoding.UTF8.GetBytes(string.Join(' ', command) + "\n")).ConfigureAwait(false);
            using var reader = new StreamReader(stream);
            while (await reader.ReadLineAsync().ConfigureAwait(false) is { } line)
            {
                if (line == "ok")
                    return 0;

                if (line.StartsWith("error: ", StringComparison.Ordinal))
                {
                    await errors.WriteLineAsync($"xen-vhost-master: {line[7..]}").ConfigureAwait(false);
                    return 1;
                }

                await output.WriteLineAsync(line).ConfigureAwait(false);
            }

            await errors.WriteLineAsync($"xen-vhost-master: no answer from {path}").ConfigureAwait(false);
        }
        catch (Exception e) when (e is SocketException or IOException)
        {
            await errors.WriteLineAsync($"xen-vhost-master: {path}: {e.Message}").ConfigureAwait(false);
        }

        return 1;
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        _listener.Dispose();
        await _loop.ConfigureAwait(false);
        _stop.Dispose();
        File.Delete(_path);
    }

    private async Task RunAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                Socket connection = await _listener.AcceptAsync(_stop.Token).ConfigureAwait(false);
                _connections.RemoveAll(static served => served.IsCompleted);
                _connections.Add(ServeAsync(connection));
            }
            catch (Exception e) when (e is SocketException or IOException or OperationCanceledException or ObjectDisposedException)
            {
                if (!_stop.IsCancellationRequested)
                    _logger.ControlFailed(e.Message);
            }
        }

        await Task.WhenAll(_connections).ConfigureAwait(false);
    }

    private async Task ServeAsync(Socket connection)
    {
        using (connection)
        {
            try
            {
                await using var stream = new NetworkStream(connection);
                if (await ReadCommandAsync(stream).ConfigureAwait(false) is { } command)
                    await stream.WriteAsync(Encoding.UTF8.GetBytes(await ReplyAsync(command).ConfigureAwait(false)), _stop.Token).ConfigureAwait(false);
            }
            catch (Exception e) when (e is SocketException or IOException or OperationCanceledException)
            {
                // Who asked has gone, or the process ends.
            }
        }
    }

    private async Task<string[]?> ReadCommandAsync(NetworkStream stream)
    {
        byte[] buffer = new byte[LongestCommand];
        int length = 0;
        while (length < buffer.Length && !buffer.AsSpan(0, length).Contains((byte)'\n'))
        {
            int read = await stream.ReadAsync(buffer.AsMemory(length), _stop.Token).ConfigureAwait(false);
            if (read == 0)
                return null;

            length += read;
        }

        return Encoding.UTF8.GetString(buffer, 0, length).Split((char[])[' ', '\n'], StringSplitOptions.RemoveEmptyEntries);
    }

    private async Task<string> ReplyAsync(string[] command)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
        patience.CancelAfter(Patience);
        try
        {
            return await CarryOutAsync(command, patience.Token).ConfigureAwait(false) + "ok\n";
        }
        catch (Exception e) when (e is OptionsException or IOException or InvalidOperationException or TimeoutException)
        {
            return $"error: {e.Message.ReplaceLineEndings(" ")}\n";
        }
        catch (OperationCanceledException)
        {
            return "error: the back-end did not come, or the guest went\n";
        }
    }

    private async Task<string> CarryOutAsync(string[] words, CancellationToken cancellation)
    {
        switch (words)
        {
            case ["list"]:
                return string.Concat(_guests.Select(static guest => guest.Session is { } session ? Describe(session) : $"{guest.Options.Domain} not running\n"))
                    + string.Concat((_described?.Sessions ?? []).Select(Describe));
            case ["attach", var domain, var device]:
                AttachedDevice added = await Find(domain).AttachAsync(DeviceText.Parse(device), cancellation).ConfigureAwait(false);
                return $"{added.Name}\n";
            case ["detach", var domain, var name, .. var rest] when rest is [] or ["force"]:
                GuestSession guest = Find(domain);
                AttachedDevice removed = guest.Devices.FirstOrDefault(device => device.Name == name)
                    ?? throw new OptionsException($"{domain} has no device {name} (see list)");
                if (rest.Length == 0 && removed.Model.Status != Transports.VirtioStatus.None)
                    throw new OptionsException($"the guest uses {name}: let it go of the device first (echo 1 > /sys/bus/pci/devices/.../remove), or say force");

                await guest.DetachAsync(removed).ConfigureAwait(false);
                return "";
            default:
                throw new OptionsException("commands: list; attach DOMAIN DEVICE; detach DOMAIN DEVICE-NAME [force]");
        }
    }

    private GuestSession Find(string domain)
        => _guests.FirstOrDefault(guest => guest.Options.Domain == domain || guest.Session?.Identity.Name == domain)?.Session
            ?? _described?.Sessions.FirstOrDefault(session => session.Identity.Name == domain)
            ?? throw new OptionsException($"no domain {domain} is attached");

    private static string Describe(GuestSession session)
    {
        IoreqCounters counters = session.Counters;
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"{session.Identity.Name} domain={session.Identity.Domid} kind={session.Identity.Kind}");
        text.Append(CultureInfo.InvariantCulture, $" port-reads={counters.PortReads} port-writes={counters.PortWrites} memory-reads={counters.MemoryReads} memory-writes={counters.MemoryWrites}");
        text.Append(CultureInfo.InvariantCulture, $" pci-reads={counters.PciReads} pci-writes={counters.PciWrites} invalidates={counters.Invalidates} interrupts={counters.Interrupts} failed-interrupts={counters.FailedInterrupts}\n");
        foreach (AttachedDevice device in session.Devices)
        {
            text.Append(CultureInfo.InvariantCulture, $"  {device.Name} status=0x{(int)device.Model.Status:x} queues={device.Model.QueueCount} kicks={device.Link.Kicks}");
            text.Append(CultureInfo.InvariantCulture, $" calls={device.Link.Calls} reconnections={device.Link.Reconnections} socket={device.Options.Backend.Socket}\n");
        }

        return text.ToString();
    }
}

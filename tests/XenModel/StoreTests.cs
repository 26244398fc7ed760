using System.Buffers.Binary;
using System.Text;
using XenMemoryProvider.Abi;
using XenModel.Domains;
using XenModel.Store;
using Xunit;
using Type = XenMemoryProvider.Abi.Xenstore.MessageType;

namespace XenModel.Tests;

public sealed class StoreTests : IAsyncDisposable
{
    private readonly Hypervisor _xen = new();
    private readonly XenStoreDaemon _daemon;

    public StoreTests() => _daemon = new XenStoreDaemon(_xen);

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Nodes_AreWrittenReadListedAndRemoved()
    {
        await using var dom0 = Connect(0);
        Assert.Equal("OK\0", await dom0.Ask(Type.Write, "/a/b/c\0value"));
        Assert.Equal("value", await dom0.Ask(Type.Read, "/a/b/c\0"));
        Assert.Equal("", await dom0.Ask(Type.Read, "/a/b\0"));
        Assert.Equal("OK\0", await dom0.Ask(Type.Mkdir, "/a/b/d\0"));
        Assert.Equal("c\0d\0", await dom0.Ask(Type.Directory, "/a/b\0"));
        Assert.Equal("!ENOENT", await dom0.Ask(Type.Read, "/a/x\0"));
        Assert.Equal("OK\0", await dom0.Ask(Type.Rm, "/a/x\0"));
        Assert.Equal("!ENOENT", await dom0.Ask(Type.Rm, "/x/y\0"));
        Assert.Equal("!EINVAL", await dom0.Ask(Type.Rm, "/\0"));
        Assert.Equal("OK\0", await dom0.Ask(Type.Rm, "/a\0"));
        Assert.Equal("!ENOENT", await dom0.Ask(Type.Read, "/a/b/c\0"));
    }

    [Theory]
    [InlineData("\0")]
    [InlineData("/a//b\0")]
    [InlineData("/a/\0")]
    [InlineData("/a b\0")]
    [InlineData("/\u00e4\0")]
    public async Task Paths_ThatAreNone_AreEinval(string payload)
    {
        await using var dom0 = Connect(0);
        Assert.Equal("!EINVAL", await dom0.Ask(Type.Read, payload));
    }

    [Theory]
    [InlineData("")]
    [InlineData("/a")]
    [InlineData("/a\0b\0")]
    public async Task Payloads_ThatAreNoString_NameNoNode(string payload)
    {
        await using var dom0 = Connect(0);
        Assert.Equal("!ENOENT", await dom0.Ask(Type.Read, payload));
    }

    [Fact]
    public async Task Paths_HaveALength()
    {
        await using var dom0 = Connect(0);
        Assert.Equal("!ENOENT", await dom0.Ask(Type.Read, "/" + new string('a', 2047) + "\0"));
        Assert.Equal("!EINVAL", await dom0.Ask(Type.Read, "/" + new string('a', 2048) + "\0"));
        Assert.Equal("!EINVAL", await dom0.Ask(Type.Read, new string('a', 2049) + "\0"));
    }

    [Fact]
    public async Task Watch_FiresOnce_ThenForTheSubtree()
    {
        await using var dom0 = Connect(0);
        await using var other = Connect(0);
        Assert.Equal("OK\0", await dom0.Ask(Type.Watch, "/w\0token\0"));
        Assert.Equal("/w\0token\0", await dom0.Event());
        Assert.Equal("!EEXIST", await dom0.Ask(Type.Watch, "/w\0token\0"));
        await other.Ask(Type.Write, "/w/x/y\01");
        Assert.Equal("/w/x/y\0token\0", await dom0.Event());
        await other.Ask(Type.Write, "/www\01");
        await other.Ask(Type.Rm, "/w\0");
        Assert.Equal("/w\0token\0", await dom0.Event());
        Assert.Equal("OK\0", await dom0.Ask(Type.Unwatch, "/w\0token\0"));
        Assert.Equal("!ENOENT", await dom0.Ask(Type.Unwatch, "/w\0token\0"));
        await other.Ask(Type.Write, "/w\01");
        Assert.Equal("1", await dom0.Ask(Type.Read, "/w\0"));
        Assert.Empty(dom0.Events);
    }

    [Fact]
    public async Task Watch_OfANodeBelowARemovedOne_NamesItself()
    {
        await using var dom0 = Connect(0);
        await dom0.Ask(Type.Write, "/a/b/c\01");
        await dom0.Ask(Type.Watch, "/a/b/c\0t\0");
        Assert.Equal("/a/b/c\0t\0", await dom0.Event());
        await dom0.Ask(Type.Rm, "/a\0");
        Assert.Equal("/a/b/c\0t\0", await dom0.Event());
    }

    [Fact]
    public async Task Watch_Relative_HasRelativeEvents()
    {
        Domain guest = _xen.CreateDomain(new DomainOptions { MemoryMiB = 1 });
        await using var client = Connect(guest.Id);
        await client.Ask(Type.Watch, "device\0t\0");
        Assert.Equal("device\0t\0", await client.Event());
        await client.Ask(Type.Write, "device/vbd\01");
        Assert.Equal("device/vbd\0t\0", await client.Event());
        Assert.Equal("1", await client.Ask(Type.Read, $"/local/domain/{guest.Id}/device/vbd\0"));
    }

    [Fact]
    public async Task Transaction_IsSeenAtItsEnd_AndConflictsAreEagain()
    {
        await using var dom0 = Connect(0);
        await using var other = Connect(0);
        await dom0.Ask(Type.Write, "/t/a\01");
        await other.Ask(Type.Watch, "/t\0w\0");
        await other.Event();
        uint id = uint.Parse((await dom0.Ask(Type.TransactionStart, "\0")).TrimEnd('\0'));
        await dom0.Ask(Type.Write, "/t/b\02", id);
        Assert.Equal("!ENOENT", await other.Ask(Type.Read, "/t/b\0"));
        Assert.Equal("2", await dom0.Ask(Type.Read, "/t/b\0", id));
        Assert.Empty(other.Events);
        Assert.Equal("OK\0", await dom0.Ask(Type.TransactionEnd, "T\0", id));
        Assert.Equal("/t/b\0w\0", await other.Event());
        Assert.Equal("!ENOENT", await dom0.Ask(Type.TransactionEnd, "T\0", id));

        id = uint.Parse((await dom0.Ask(Type.TransactionStart, "\0")).TrimEnd('\0'));
        Assert.Equal("1", await dom0.Ask(Type.Read, "/t/a\0", id));
        await other.Ask(Type.Write, "/t/a\03");
        await dom0.Ask(Type.Write, "/t/c\04", id);
        Assert.Equal("!EAGAIN", await dom0.Ask(Type.TransactionEnd, "T\0", id));
        Assert.Equal("!ENOENT", await dom0.Ask(Type.Read, "/t/c\0"));

        id = uint.Parse((await dom0.Ask(Type.TransactionStart, "\0")).TrimEnd('\0'));
        await dom0.Ask(Type.Write, "/t/d\04", id);
        Assert.Equal("!EINVAL", await dom0.Ask(Type.TransactionEnd, "x\0", id));
        Assert.Equal("OK\0", await dom0.Ask(Type.TransactionEnd, "F\0", id));
        Assert.Equal("!ENOENT", await dom0.Ask(Type.Read, "/t/d\0"));
    }

    [Fact]
    public async Task Permissions_KeepGuestsToTheirOwn()
    {
        Domain guest = _xen.CreateDomain(new DomainOptions { MemoryMiB = 1 });
        Domain other = _xen.CreateDomain(new DomainOptions { Name = "other", MemoryMiB = 1 });
        await using var client = Connect(guest.Id);
        await using var stranger = Connect(other.Id);
        await using var dom0 = Connect(0);
        Assert.Equal("guest", await client.Ask(Type.Read, "name\0"));
        Assert.Equal("!EACCES", await client.Ask(Type.Write, "name\0x"));
        Assert.Equal("OK\0", await client.Ask(Type.Write, "data/mine\0x"));
        Assert.Equal($"n{guest.Id}\0", await client.Ask(Type.GetPerms, "data/mine\0"));
        string mine = $"/local/domain/{guest.Id}/data/mine";
        Assert.Equal("!EACCES", await stranger.Ask(Type.Read, mine + "\0"));
        Assert.Equal("!EACCES", await stranger.Ask(Type.Read, $"/local/domain/{guest.Id}/data/none\0"));
        Assert.Equal("OK\0", await client.Ask(Type.SetPerms, $"data/mine\0n{guest.Id}\0r{other.Id}\0"));
        Assert.Equal("x", await stranger.Ask(Type.Read, mine + "\0"));
        Assert.Equal("!EACCES", await stranger.Ask(Type.Write, mine + "\0y"));
        Assert.Equal("!EACCES", await stranger.Ask(Type.SetPerms, $"{mine}\0n{other.Id}\0"));
        Assert.Equal("!EPERM", await client.Ask(Type.SetPerms, $"data/mine\0n{other.Id}\0"));
        Assert.Equal("!EINVAL", await client.Ask(Type.SetPerms, "data/mine\0q1\0"));
        Assert.Equal("!ENOSPC", await client.Ask(Type.SetPerms, $"data/mine\0n{guest.Id}\0r1\0r2\0r3\0r4\0r5\0"));
        Assert.Equal("x", await dom0.Ask(Type.Read, mine + "\0"));
        foreach (Type privileged in new[] { Type.Introduce, Type.Release, Type.IsDomainIntroduced, Type.Resume, Type.SetTarget, Type.Control })
            Assert.Equal("!EACCES", await client.Ask(privileged, "1\0"));
        Assert.Equal("OK\0", await client.Ask(Type.Watch, "@releaseDomain\0t\0"));
        Assert.Equal("T\0", await dom0.Ask(Type.IsDomainIntroduced, $"{guest.Id}\0"));
        Assert.Equal("F\0", await dom0.Ask(Type.IsDomainIntroduced, "999\0"));
    }

    [Fact]
    public async Task Quotas_HoldGuests()
    {
        Domain guest = _xen.CreateDomain(new DomainOptions { MemoryMiB = 1 });
        await using var client = Connect(guest.Id);
        Assert.Equal("OK\0", await client.Ask(Type.Write, "data/x\0" + new string('v', 2015)));
        Assert.Equal("!ENOSPC", await client.Ask(Type.Write, "data/x\0" + new string('v', 2016)));
        string result = "OK\0";
        int nodes = 0;
        for (; result == "OK\0" && nodes < 1100; nodes++) result = await client.Ask(Type.Mkdir, $"data/d{nodes / 100}/n{nodes}\0");
        Assert.Equal("!ENOSPC", result);
        Assert.InRange(nodes, 900, 1000);
        for (int i = 0; i < 129; i++) Assert.Equal("OK\0", await client.Ask(Type.Watch, $"data\0{i}\0"));
        Assert.Equal("!E2BIG", await client.Ask(Type.Watch, "data\0too-many\0"));
        for (int i = 0; i < 11; i++) Assert.NotEqual("!ENOSPC", await client.Ask(Type.TransactionStart, "\0"));
        Assert.Equal("!ENOSPC", await client.Ask(Type.TransactionStart, "\0"));
        Assert.Equal("OK\0", await client.Ask(Type.ResetWatches, "\0"));
        Assert.Equal("OK\0", await client.Ask(Type.Watch, "data\0again\0"));
        Assert.NotEqual("!ENOSPC", await client.Ask(Type.TransactionStart, "\0"));
    }

    [Fact]
    public async Task Directory_TooLong_ComesInParts()
    {
        await using var dom0 = Connect(0);
        for (int i = 0; i < 500; i++) await dom0.Ask(Type.Mkdir, $"/big/a-rather-long-name-{i}\0");
        Assert.Equal("!E2BIG", await dom0.Ask(Type.Directory, "/big\0"));
        var names = new List<string>();
        string generation = "";
        while (true)
        {
            int offset = names.Sum(name => name.Length + 1);
            string part = await dom0.Ask(Type.DirectoryPart, $"/big\0{offset}\0");
            string[] pieces = part.Split('\0');
            if (generation.Length == 0) generation = pieces[0];
            Assert.Equal(generation, pieces[0]);
            bool last = part.EndsWith("\0\0", StringComparison.Ordinal);
            names.AddRange(pieces.Skip(1).Where(piece => piece.Length > 0));
            if (last) break;
        }

        Assert.Equal(Enumerable.Range(0, 500).Select(i => $"a-rather-long-name-{i}"), names);
    }

    [Fact]
    public async Task Domains_AreIntroducedAndReleased()
    {
        await using var dom0 = Connect(0);
        await dom0.Ask(Type.Watch, "@introduceDomain\0i\0");
        await dom0.Ask(Type.Watch, "@releaseDomain\0r\0");
        await dom0.Event();
        await dom0.Event();
        Domain guest = _xen.CreateDomain(new DomainOptions { Name = "vm1", MemoryMiB = 1 });
        Assert.Equal("@introduceDomain\0i\0", await dom0.Event());
        Assert.Equal("vm1", await dom0.Ask(Type.Read, $"/local/domain/{guest.Id}/name\0"));
        Assert.Equal($"/local/domain/{guest.Id}\0", await dom0.Ask(Type.GetDomainPath, $"{guest.Id}\0"));
        guest.ShutDown(ShutdownReason.Poweroff);
        Assert.Equal("@releaseDomain\0r\0", await dom0.Event());
        _xen.DestroyDomain(guest.Id);
        Assert.Equal("@releaseDomain\0r\0", await dom0.Event());
        Assert.Equal("!ENOENT", await dom0.Ask(Type.Read, $"/local/domain/{guest.Id}/name\0"));
    }

    [Fact]
    public async Task MalformedMessage_EndsThatConnectionOnly()
    {
        await using var dom0 = Connect(0);
        await using var bad = Connect(0);
        await bad.SendRaw(Header(Type.Read, 4097));
        Assert.True(await bad.Ended());
        Assert.Equal("OK\0", await dom0.Ask(Type.Write, "/alive\01"));
        await using var half = Connect(0);
        await half.SendRaw(Header(Type.Write, 100)[..7]);
        await half.DisposeAsync();
        Assert.Equal("!ENOSYS", await dom0.Ask((Type)99, "\0"));
        Assert.Equal("!ENOSYS", await dom0.Ask((Type)20, "\0"));
        Assert.Equal("!ENOENT", await dom0.Ask(Type.Read, "/alive\0", transaction: 77));
    }

    [Fact]
    public async Task PeerThatDoesNotRead_IsLeft_AndOthersAreTold()
    {
        await using var dom0 = Connect(0);
        await using var other = Connect(0);
        await using var deaf = Connect(0);
        await deaf.Ask(Type.Watch, "/w\0deaf\0");
        await other.Ask(Type.Watch, "/w\0other\0");
        await other.Event();
        int clients = _daemon.Server.ClientCount;
        for (int i = 0; i < 40_000 && _daemon.Server.ClientCount == clients; i++)
        {
            Assert.Equal("OK\0", await dom0.Ask(Type.Write, "/w\0x"));
            Assert.Equal("/w\0other\0", await other.Event());
        }

        Assert.True(SpinWait.SpinUntil(() => _daemon.Server.ClientCount == clients - 1, ModelFixture.Deadline));
        Assert.Equal("OK\0", await dom0.Ask(Type.Write, "/w\0y"));
    }

    [Fact]
    public async Task RandomBytes_NeverStopTheDaemon()
    {
        var random = new Random(3);
        for (int i = 0; i < 200; i++)
        {
            await using var client = Connect((ushort)random.Next(2));
            byte[] bytes = new byte[random.Next(16, 600)];
            random.NextBytes(bytes);
            for (int at = 0; at + 16 <= bytes.Length;)
            {
                int length = Math.Min(random.Next(0, 80), bytes.Length - at - 16);
                BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(at), (uint)random.Next(24));
                BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(at + 8), (uint)random.Next(3));
                BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(at + 12), (uint)length);
                if (length > 2) (bytes[at + 16], bytes[at + 16 + length - 1]) = ((byte)'/', 0);
                at += 16 + length;
            }

            await client.SendRaw(bytes);
        }

        await using var dom0 = Connect(0);
        Assert.Equal("OK\0", await dom0.Ask(Type.Write, "/alive\01"));
    }

    [Fact]
    public async Task Client_OfTheProduct_WorksAgainstIt()
    {
        var kernel = new Drivers.ModelXenKernel(_xen, xenstore: _daemon.Connect);
        await using XenMemoryProvider.Store.XenStore store = XenMemoryProvider.Store.XenStore.Open(kernel);
        await store.WriteAsync("/p/q", "1", Cancel);
        Assert.Equal("1", await store.ReadAsync("/p/q", Cancel));
        await store.TransactionAsync(async (transaction, cancel) => await transaction.WriteAsync("/p/r", "2", cancel), Cancel);
        Assert.Equal(["q", "r"], await store.ListAsync("/p", Cancel));
    }

    public async ValueTask DisposeAsync()
    {
        await _daemon.DisposeAsync();
        _xen.Dispose();
    }

    private static byte[] Header(Type type, uint length)
    {
        byte[] header = new byte[16];
        BinaryPrimitives.WriteUInt32LittleEndian(header, (uint)type);
        BinaryPrimitives.WriteUInt32LittleEndian(header.AsSpan(12), length);
        return header;
    }

    private Client Connect(ushort domid) => new(_daemon.Connect(domid));

    /// <summary>Speaks the protocol byte by byte, so that nothing of the product is trusted to test the daemon.</summary>
    private sealed class Client(Stream stream) : IAsyncDisposable
    {
        private uint _requestId;

        public Queue<string> Events { get; } = new();

        /// <summary>The reply's payload, or "!" and the error's name.</summary>
        public async Task<string> Ask(Type type, string payload, uint transaction = 0)
        {
            byte[] bytes = Encoding.Latin1.GetBytes(payload);
            byte[] header = Header(type, (uint)bytes.Length);
            BinaryPrimitives.WriteUInt32LittleEndian(header.AsSpan(4), ++_requestId);
            BinaryPrimitives.WriteUInt32LittleEndian(header.AsSpan(8), transaction);
            await SendRaw([.. header, .. bytes]);
            while (true)
            {
                (Type answer, uint requestId, string text) = await Receive();
                if (answer == Type.WatchEvent)
                {
                    Events.Enqueue(text);
                    continue;
                }

                Assert.Equal(_requestId, requestId);
                if (answer == Type.Error) return "!" + text.TrimEnd('\0');
                Assert.Equal(type, answer);
                return text;
            }
        }

        public async Task<string> Event()
        {
            if (Events.TryDequeue(out string? waiting)) return waiting;
            (Type type, _, string text) = await Receive();
            Assert.Equal(Type.WatchEvent, type);
            return text;
        }

        public async Task SendRaw(byte[] bytes)
        {
            await stream.WriteAsync(bytes, Cancel);
            await stream.FlushAsync(Cancel);
        }

        public async Task<bool> Ended() => await stream.ReadAsync(new byte[1], Cancel).AsTask().WaitAsync(ModelFixture.Deadline, Cancel) == 0;

        public ValueTask DisposeAsync() => stream.DisposeAsync();

        private async Task<(Type Type, uint RequestId, string Text)> Receive()
        {
            byte[] header = new byte[16];
            await stream.ReadExactlyAsync(header, Cancel).AsTask().WaitAsync(ModelFixture.Deadline, Cancel);
            byte[] payload = new byte[BinaryPrimitives.ReadUInt32LittleEndian(header.AsSpan(12))];
            await stream.ReadExactlyAsync(payload, Cancel).AsTask().WaitAsync(ModelFixture.Deadline, Cancel);
            return ((Type)BinaryPrimitives.ReadUInt32LittleEndian(header), BinaryPrimitives.ReadUInt32LittleEndian(header.AsSpan(4)), Encoding.Latin1.GetString(payload));
        }
    }
}

using Backends.Block.Options;

namespace Backends.Block.Tests.Options;

public sealed class CommandLineTests
{
    private const string Socket = "--socket-path=/run/a.sock";
    private const string File = "--blk-file=a.img";

    [Fact]
    public void Parse_EveryOption_Arrives()
    {
        DiskOptions disk = Disk(
            Socket, File, "--read-only", "--num-queues=4", "--queue-size=256", "--direct", "--cache=writethrough", "--serial=abc",
            "--logical-block-size=4096", "--workers=2", "--poll-us=50", "--no-lock", "--no-io-uring", "--sealed-memory", "--name=root");
        Assert.Equal(("/run/a.sock", "a.img", true, 4, 256), (disk.SocketPath, disk.BlkFile, disk.ReadOnly, disk.NumQueues, disk.QueueSize));
        Assert.Equal((true, "writethrough", "abc", 4096, 2), (disk.Direct, disk.Cache, disk.Serial, disk.LogicalBlockSize, disk.Workers));
        Assert.Equal((50, false, false, "root"), (disk.PollUs, disk.Lock, disk.IoUring, disk.Name));
        Assert.True(disk.SealedMemory);
    }

    [Fact]
    public void Parse_TheLeastThereIs_TakesDefaults()
    {
        DiskOptions disk = Disk("--fd", "3", "--store", "memory:64M");
        Assert.Equal((3, 16, 1024, "writeback", 1, 0), (disk.Fd, disk.NumQueues, disk.QueueSize, disk.Cache, disk.Workers, disk.PollUs));
        Assert.True(disk.Lock && disk.IoUring && !disk.SealedMemory);
        Assert.True(StoreSpecification.TryParse(disk, out StoreSpecification? store, out _));
        Assert.Equal(new StoreSpecification(StoreKind.Memory, "", 64 << 20), store);
    }

    [Fact]
    public void Parse_SocketsFromSystemd_NeedNoPath()
    {
        DaemonOptions? options = new CommandLine().Parse([File], TextWriter.Null, systemdSockets: true);
        Assert.Equal("", options!.Devices[0].SocketName);
        options = new CommandLine().Parse([File, Socket], TextWriter.Null, systemdSockets: true);
        Assert.Null(options!.Devices[0].SocketName);
    }

    public static TheoryData<string, string[]> Nonsense => new()
    {
        { "--socket-path is missing", [File] },
        { "--socket-path and --fd exclude each other", [Socket, "--fd=3", File] },
        { "--blk-file is missing", [Socket] },
        { "--blk-file and --store exclude each other", [Socket, File, "--store=null:1G"] },
        { "'--blk-file'", [Socket, "--blk-file="] },
        { "--socket-path must be 1 to 107 bytes", ["--socket-path=/" + new string('x', 107), File] },
        { "--fd must be from 3", ["--fd=2", File] },
        { "--fd must be from 3", ["--fd=-1", File] },
        { "'x'", ["--fd=x", File] },
        { "--num-queues must be from 1 to 1024", [Socket, File, "--num-queues=0"] },
        { "--num-queues must be from 1 to 1024", [Socket, File, "--num-queues=1025"] },
        { "'99999999999'", [Socket, File, "--num-queues=99999999999"] },
        { "--queue-size must be a power of two", [Socket, File, "--queue-size=100"] },
        { "--queue-size must be a power of two", [Socket, File, "--queue-size=2"] },
        { "--queue-size must be a power of two", [Socket, File, "--queue-size=65536"] },
        { "--queue-size must be a power of two", [Socket, File, "--queue-size=-4"] },
        { "--cache must be writeback or writethrough", [Socket, File, "--cache=none"] },
        { "--cache must be writeback or writethrough", [Socket, File, "--cache=writebackwritethrough"] },
        { "--serial must be at most 20", [Socket, File, "--serial=123456789012345678901"] },
        { "--serial must be at most 20 printable ASCII", [Socket, File, "--serial=é"] },
        { "--logical-block-size must be a power of two from 512", [Socket, File, "--logical-block-size=100"] },
        { "--logical-block-size must be a power of two from 512", [Socket, File, "--logical-block-size=256"] },
        { "--logical-block-size must be a power of two from 512", [Socket, File, "--logical-block-size=-512"] },
        { "--workers must be from 1 to 256", [Socket, File, "--workers=0"] },
        { "--workers is more than --num-queues", [Socket, File, "--workers=3", "--num-queues=2"] },
        { "--poll-us must be from 0", [Socket, File, "--poll-us=-1"] },
        { "--poll-us must be from 0", [Socket, File, "--poll-us=1000001"] },
        { "--store must be memory:SIZE", [Socket, "--store=disk.img"] },
        { "--store must be memory:SIZE", [Socket, "--store=file:"] },
        { "the size in 'memory:1000'", [Socket, "--store=memory:1000"] },
        { "the size in 'memory:0'", [Socket, "--store=memory:0"] },
        { "the size in 'null:'", [Socket, "--store=null:"] },
        { "the size in 'null:-1G'", [Socket, "--store=null:-1G"] },
        { "the size in 'null:99999999999T'", [Socket, "--store=null:99999999999T"] },
        { "--direct needs a file", [Socket, "--store=memory:1M", "--direct"] },
        { "--read-only needs a file", [Socket, "--store=memory:1M", "--read-only"] },
        { "'--nonsense'", [Socket, File, "--nonsense"] },
        { "'stray'", [Socket, File, "stray"] },
        { "--blk-file", [Socket, "--blk-file"] },
        { "--config and --socket-path exclude each other", ["--config=a.json", Socket] },
        { "--config and --read-only exclude each other", ["--config=a.json", "--read-only"] },
        { "a.json does not exist", ["--config=/nowhere/a.json"] },
        { "--log-level", [Socket, File, "--log-level=loud"] },
    };

    [Theory]
    [MemberData(nameof(Nonsense))]
    public void Parse_OptionsThatMakeNoSense_AreOneClearLine(string expected, string[] arguments)
    {
        OptionsException e = Assert.Throws<OptionsException>(() => new CommandLine().Parse(arguments, TextWriter.Null));
        Assert.Contains(expected, e.Message, StringComparison.Ordinal);
        Assert.DoesNotMatch("^[A-Z][A-Za-z]+: ", e.Message);
        Assert.DoesNotContain('\n', e.Message);
        Assert.DoesNotContain('{', e.Message);
    }

    [Theory]
    [InlineData("512", 512UL)]
    [InlineData("1K", 1024UL)]
    [InlineData("3m", 3UL << 20)]
    [InlineData("2G", 2UL << 30)]
    [InlineData("4T", 4UL << 40)]
    public void TryParseSize_Units_AreOf1024(string text, ulong expected)
    {
        Assert.True(StoreSpecification.TryParseSize(text, out ulong size));
        Assert.Equal(expected, size);
    }

    [Fact]
    public void PrintCapabilities_WithAnythingElse_PrintsOnlyThem()
    {
        Assert.Equal("""{"type":"block","features":["read-only","blk-file"]}""" + "\n", Print("--print-capabilities", "--nonsense", "--fd=x"));
    }

    [Fact]
    public void Help_Always_NamesEveryOptionAndShowsExamples()
    {
        string help = Print("--help");
        foreach (string option in (string[])["--socket-path", "--fd", "--print-capabilities", "--blk-file", "--read-only", "--num-queues",
            "--queue-size", "--direct", "--cache", "--serial", "--logical-block-size", "--workers", "--poll-us", "--store", "--config",
            "--no-lock", "--name", "--xen", "--log-level", "--version"])
            Assert.Contains(option, help, StringComparison.Ordinal);

        Assert.Contains("Examples:", help, StringComparison.Ordinal);
        Assert.Contains("vhost-user-blk-pci", help, StringComparison.Ordinal);
    }

    [Fact]
    public void Version_Alone_IsPrinted() => Assert.Matches(@"^\d+\.\d+\.\d+", Print("--version"));

    private static DiskOptions Disk(params string[] arguments)
        => Assert.Single(new CommandLine().Parse(arguments, TextWriter.Null)!.Devices);

    private static string Print(params string[] arguments)
    {
        StringWriter output = new();
        Assert.Null(new CommandLine().Parse(arguments, output));
        return output.ToString();
    }
}

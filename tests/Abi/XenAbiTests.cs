using System.Globalization;
using System.Runtime.InteropServices;
using XenMemoryProvider.Abi;
using Xunit;

namespace VhostXen.Abi.Tests;

/// <summary>The kernel's headers for privcmd, gntdev, gntalloc and evtchn; Xen's own (libxen-dev) for everything else.</summary>
public sealed class XenAbiTests(ITestOutputHelper output)
{
    // Xen's tool-side definitions, and what the kernel's headers expect to have been included.
    private const string Prologue = """
        #if !__has_include(<xen/hvm/dm_op.h>) || !__has_include(<xen/privcmd.h>)
        #error "Xen's headers are missing: apt-get install libxen-dev linux-libc-dev"
        #endif
        #define __XEN_TOOLS__ 1
        #include <stdint.h>
        #include <sys/ioctl.h>
        #include <xen/xen.h>
        #include <xen/grant_table.h>
        #include <xen/event_channel.h>
        """;

    private static AbiReader Reader => AbiReader.Of(typeof(Privcmd).Assembly, typeof(Privcmd).Namespace!);

    [Fact]
    public void Declarations_Each_NameTheirCounterpart() => Assert.Empty(Reader.Problems);

    [Fact]
    [Trait("Category", "Gcc")]
    public void Declarations_ComparedByGcc_Agree()
    {
        AbiReader reader = Reader;
        AbiComparison result = AbiComparison.Run(reader, Prologue);

        output.WriteLine($"{result.Compiled} of {reader.Assertions.Count} assertions compiled");
        Assert.True(result.Errors.Length == 0, result.Errors);
        Assert.Empty(result.Absent);
        Assert.True(result.Compiled > 900, $"only {result.Compiled} assertions");
    }

    [Fact]
    [Trait("Category", "Gcc")]
    public void Ioreq_BitFields_AreWhereCPutsThem()
    {
        Ioreq[] ours =
        [
            new() { State = IoreqState.ResponseReady },
            new() { DataIsPointer = true },
            new() { IsRead = true },
            new() { Descending = true },
            new() { State = IoreqState.InProcess, IsRead = true, Type = IoreqType.Invalidate, VpEport = 0x11223344 },
        ];

        Assert.Equal(ours.Select(Hex), Dump("struct ioreq",
            ".state = STATE_IORESP_READY", ".data_is_ptr = 1", ".dir = IOREQ_READ", ".df = 1",
            ".state = STATE_IOREQ_INPROCESS, .dir = IOREQ_READ, .type = IOREQ_TYPE_INVALIDATE, .vp_eport = 0x11223344"));
    }

    [Fact]
    [Trait("Category", "Gcc")]
    public void BufferedIoreq_BitFields_AreWhereCPutsThem()
    {
        BufferedIoreq[] ours =
        [
            new() { Type = IoreqType.TimeOffset },
            new() { IsRead = true },
            new() { SizeShift = 3 },
            new() { Address = BufferedIoreq.MaxAddress },
            new() { Type = IoreqType.Copy, SizeShift = 1, Address = 0xa1234, Data = 0xdeadbeef },
        ];

        Assert.Equal(ours.Select(Hex), Dump("struct buf_ioreq",
            ".type = IOREQ_TYPE_TIMEOFFSET", ".dir = 1", ".size = 3", ".addr = 0xfffff",
            ".type = IOREQ_TYPE_COPY, .size = 1, .addr = 0xa1234, .data = 0xdeadbeef"));
    }

    [Theory]
    [InlineData(0, 0, 1, 0)]
    [InlineData(0xffff, 0xff, 0x1f, 7)]
    [InlineData(1, 2, 3, 4)]
    [InlineData(0x10001, 0x102, 0x23, 0xc)]
    [Trait("Category", "Gcc")]
    public void PciSbdf_AnyFunction_IsWhatTheMacroSays(int segment, int bus, int device, int function)
    {
        string c = Gcc.Execute($$"""
            {{Prologue}}
            #include <stdio.h>
            #include <xen/hvm/dm_op.h>
            int main(void) { printf("%u", (unsigned)XEN_DMOP_PCI_SBDF({{segment}}u, {{bus}}u, {{device}}u, {{function}}u)); }
            """);

        Assert.Equal(uint.Parse(c, CultureInfo.InvariantCulture), DmOp.PciSbdf(segment, bus, device, function));
    }

    private static string Hex<T>(T value)
        where T : unmanaged => Convert.ToHexStringLower(MemoryMarshal.AsBytes(new ReadOnlySpan<T>(in value)));

    private static string[] Dump(string type, params string[] initializers)
    {
        string values = string.Join(", ", initializers.Select(i => $"{{ {i} }}"));
        return Gcc.Execute($$"""
            {{Prologue}}
            #include <stdio.h>
            #include <xen/hvm/ioreq.h>
            int main(void)
            {
                static {{type}} values[] = { {{values}} };
                for (unsigned i = 0; i < sizeof values / sizeof *values; i++) {
                    for (unsigned at = 0; at < sizeof *values; at++) printf("%02x", ((unsigned char *)&values[i])[at]);
                    puts("");
                }
            }
            """).Split('\n', StringSplitOptions.RemoveEmptyEntries);
    }
}

using GuestKit;
using Xunit;

namespace EndToEnd.Kit;

public sealed class CpioArchiveTests
{
    [Fact]
    public void ToArray_OneFile_IsTheNewcForm()
    {
        var archive = new CpioArchive();
        archive.Add("job.sh", "echo"u8);

        byte[] bytes = archive.ToArray();

        // 110 bytes of header, name with its NUL up to a multiple of 4, content up to a multiple of 4, then the trailer.
        Assert.Equal("070701" + "00000001" + "000081ED", System.Text.Encoding.ASCII.GetString(bytes, 0, 22));
        Assert.Equal("00000004", System.Text.Encoding.ASCII.GetString(bytes, 6 + (6 * 8), 8));
        Assert.Equal("job.sh\0"u8, bytes.AsSpan(110, 7));
        Assert.Equal("echo"u8, bytes.AsSpan(120, 4));
        Assert.Equal("070701"u8, bytes.AsSpan(124, 6));
        Assert.Equal("TRAILER!!!\0"u8, bytes.AsSpan(124 + 110, 11));
        Assert.Equal(0, bytes.Length % 4);
    }

    [Fact]
    [Trait("Category", "Qemu")]
    public async Task ToArray_TwoFiles_AreUnpackedByCpio()
    {
        await GuestRun.RunAsync("cpio", async run =>
        {
            var archive = new CpioArchive();
            archive.Add("first", "1"u8);
            archive.Add("second.sh", "22222"u8);
            File.WriteAllBytes(run.PathOf("a.cpio"), archive.ToArray());

            await HostTool.RunAsync(run, "sh", "-c", $"cd {run.Directory} && cpio --quiet -i < a.cpio");

            Assert.Equal("1", File.ReadAllText(run.PathOf("first")));
            Assert.Equal("22222", File.ReadAllText(run.PathOf("second.sh")));
        });
    }
}

namespace GuestKit;

/// <summary>The guest's kernel and initramfs, built once per machine out of Debian packages by build-guest.sh.</summary>
public sealed record GuestImage(string Kernel, string Initramfs)
{
    private static readonly Lazy<Task<GuestImage>> s_cloud = new(() => BuildAsync("cloud"));

    /// <summary>The guest for QEMU; the first caller on a machine waits for its construction.</summary>
    public static Task<GuestImage> GetAsync() => s_cloud.Value;

    private static async Task<GuestImage> BuildAsync(string flavour)
    {
        string scripts = Path.Combine(Repository.Root, "tests", "EndToEnd", "guest");
        await HostTool.RunAsync(
            null, Path.Combine(Repository.Root, "eng", "install-packages.sh"), "qemu-system-x86", "qemu-system-common", "e2fsprogs", "fio");
        byte[] output = await HostTool.RunAsync(null, Path.Combine(scripts, "build-guest.sh"), flavour);
        string directory = System.Text.Encoding.UTF8.GetString(output).Trim().Split('\n')[^1];
        return new GuestImage(Path.Combine(directory, "vmlinuz"), Path.Combine(directory, "initrd.img"));
    }

    /// <summary>Writes an initramfs that is the image's followed by a small archive with the job.</summary>
    internal async Task<string> WriteInitramfsAsync(string path, string job)
    {
        await using FileStream output = File.Create(path);
        await using (FileStream image = File.OpenRead(Initramfs))
            await image.CopyToAsync(output, 1 << 20);
        var archive = new CpioArchive();
        archive.Add("job.sh", System.Text.Encoding.UTF8.GetBytes(job));
        output.Write(archive.ToArray());
        return path;
    }
}

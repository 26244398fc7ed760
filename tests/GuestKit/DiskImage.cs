using System.Security.Cryptography;

namespace GuestKit;

/// <summary>A raw disk image in the run's directory, and the host's own view of it.</summary>
public sealed class DiskImage
{
    private readonly GuestRun _run;

    private DiskImage(GuestRun run, string path)
    {
        _run = run;
        Path = path;
    }

    public string Path { get; }

    /// <summary>Bytes of the file that hold data: holes do not count.</summary>
    public async Task<long> AllocatedBytesAsync()
    {
        string blocks = System.Text.Encoding.ASCII.GetString(await HostTool.RunAsync(_run, "stat", "-c", "%b", Path));
        return long.Parse(blocks, System.Globalization.CultureInfo.InvariantCulture) * 512;
    }

    /// <summary>A sparse image of so many bytes, all zero.</summary>
    public static DiskImage Create(GuestRun run, string name, long size)
    {
        string path = run.PathOf(name);
        using (FileStream file = File.Create(path))
            file.SetLength(size);
        return new DiskImage(run, path);
    }

    /// <summary>Overwrites a range with one byte value, so that stale data would show.</summary>
    public void Fill(long offset, long length, byte value)
    {
        using FileStream file = File.OpenWrite(Path);
        file.Position = offset;
        byte[] chunk = new byte[1 << 20];
        Array.Fill(chunk, value);
        for (long rest = length; rest > 0; rest -= chunk.Length)
            file.Write(chunk, 0, (int)Math.Min(rest, chunk.Length));
    }

    public byte[] Read(long offset, int length)
    {
        byte[] buffer = new byte[length];
        using FileStream file = File.OpenRead(Path);
        file.Position = offset;
        file.ReadExactly(buffer);
        return buffer;
    }

    /// <summary>Every byte of the range has this value.</summary>
    public bool IsFilled(long offset, long length, byte value)
    {
        using FileStream file = File.OpenRead(Path);
        file.Position = offset;
        byte[] chunk = new byte[1 << 20];
        for (long rest = length; rest > 0; rest -= chunk.Length)
        {
            Span<byte> part = chunk.AsSpan(0, (int)Math.Min(rest, chunk.Length));
            file.ReadExactly(part);
            if (part.ContainsAnyExcept(value))
                return false;
        }
        return true;
    }

    public string Sha256()
    {
        using FileStream file = File.OpenRead(Path);
        return Convert.ToHexString(SHA256.HashData(file));
    }

    /// <summary>Checks the ext4 file system at an offset of the image without changing it; any finding is an error.</summary>
    public Task CheckExt4Async(long offset = 0) => HostTool.RunAsync(_run, "e2fsck", "-fn", At(offset));

    /// <summary>Reads a file out of the ext4 file system at an offset of the image.</summary>
    public Task<byte[]> ReadExt4FileAsync(string file, long offset = 0) =>
        HostTool.RunAsync(_run, "debugfs", "-R", $"cat {file}", At(offset));

    /// <summary>Lets the host's own fio verify what a guest's fio has written with the same job.</summary>
    public Task VerifyWithFioAsync(string fioJob) =>
        HostTool.RunAsync(_run, "fio", [.. fioJob.Split(' ', StringSplitOptions.RemoveEmptyEntries), $"--filename={Path}", "--verify_only"]);

    private string At(long offset) => offset == 0 ? Path : $"{Path}?offset={offset}";
}

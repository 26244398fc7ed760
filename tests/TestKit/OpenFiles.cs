using System.Globalization;
using VhostXen.Linux;

namespace TestKit;

/// <summary>What this process has open of one file, counted in /proc: other tests beside do not disturb the count.</summary>
public static class OpenFiles
{
    /// <summary>Descriptors of an eventfd, all duplicates counted.</summary>
    public static int CountOf(EventFd file)
    {
        string id = EventFdId($"/proc/self/fdinfo/{file.Handle.Value}") ?? throw new NotSupportedException("the kernel does not number eventfds");
        return Directory.GetFiles("/proc/self/fdinfo").Count(path => EventFdId(path) == id);
    }

    /// <summary>Descriptors of a file.</summary>
    public static int CountOf(FileDescriptor file)
    {
        ulong inode = FileIO.Stat(file).stx_ino;
        int count = 0;
        foreach (string path in Directory.GetFileSystemEntries("/proc/self/fd"))
        {
            if (!int.TryParse(Path.GetFileName(path), CultureInfo.InvariantCulture, out int number) || LinkOf(path)?.StartsWith("/memfd:", StringComparison.Ordinal) != true)
                continue;

            try
            {
                using var borrowed = new FileDescriptor(number, ownsHandle: false);
                count += FileIO.Stat(borrowed).stx_ino == inode ? 1 : 0;
            }
            catch (SystemCallException)
            {
                // Closed meanwhile by a test beside.
            }
        }

        return count;
    }

    /// <summary>Bytes of a file that are mapped, however often (neighbouring mappings are one line to the kernel).</summary>
    public static ulong MappedBytesOf(FileDescriptor file)
    {
        string inode = FileIO.Stat(file).stx_ino.ToString(CultureInfo.InvariantCulture);
        ulong bytes = 0;
        foreach (string line in File.ReadLines("/proc/self/maps").Where(static line => line.Contains("/memfd:", StringComparison.Ordinal)))
        {
            string[] fields = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
            if (fields[4] != inode)
                continue;

            string[] range = fields[0].Split('-');
            bytes += ulong.Parse(range[1], NumberStyles.HexNumber, CultureInfo.InvariantCulture) - ulong.Parse(range[0], NumberStyles.HexNumber, CultureInfo.InvariantCulture);
        }

        return bytes;
    }

    /// <summary>Mappings of memfds of a name.</summary>
    public static int MappingsNamed(string name)
        => File.ReadLines("/proc/self/maps").Count(line => line.Contains($"/memfd:{name}", StringComparison.Ordinal));

    private static string? LinkOf(string path)
    {
        try
        {
            return new FileInfo(path).LinkTarget;
        }
        catch (IOException)
        {
            return null;
        }
    }

    private static string? EventFdId(string path)
    {
        try
        {
            return File.ReadLines(path).FirstOrDefault(static line => line.StartsWith("eventfd-id:", StringComparison.Ordinal));
        }
        catch (IOException)
        {
            return null;
        }
    }
}

namespace Fuzz.Oracles;

/// <summary>What this process has, by the kernel's count.</summary>
/// <param name="Fds">Sockets, events, epolls and memories; the files and pipes of the runtime are not ours.</param>
/// <param name="Threads">All but the runtime's own: its pool grows and shrinks as it likes.</param>
/// <param name="Shared">Mappings of memory that came from the hostile side: counted exactly.</param>
/// <param name="All">All mappings: the runtime's come and go as it compiles.</param>
internal readonly record struct ProcessCount(int Fds, int Threads, int Shared, int All)
{
    /// <summary>Names of the memory that guests of the user-space Xen have.</summary>
    public static readonly string[] XenMemory = ["/memfd:xen-"];

    private const int RuntimeMappings = 200;

    public static ProcessCount Now(string[] sharedNames)
    {
        string[] maps = File.ReadAllLines("/proc/self/maps");
        return new ProcessCount(
            Directory.GetFiles("/proc/self/fd").Count(static fd => TargetOf(fd) is var target && (target.Contains("socket:") || target.Contains("anon_inode:") || target.Contains("/memfd:"))),
            Directory.GetDirectories("/proc/self/task").Count(static task => !NameOf(task).StartsWith(".NET", StringComparison.Ordinal)),
            maps.Count(line => sharedNames.Any(line.Contains)),
            maps.Length);
    }

    public static ProcessCount Least(ProcessCount a, ProcessCount b)
        => new(Math.Min(a.Fds, b.Fds), Math.Min(a.Threads, b.Threads), Math.Min(a.Shared, b.Shared), Math.Min(a.All, b.All));

    public override string ToString() => $"{Fds} descriptors, {Threads} threads, {Shared} mappings of guests, {All} mappings";

    /// <summary>Nothing of ours is more than it was.</summary>
    public bool IsWithin(ProcessCount before)
        => Fds <= before.Fds && Threads <= before.Threads && Shared <= before.Shared && All <= before.All + RuntimeMappings;

    private static string TargetOf(string descriptor)
    {
        try
        {
            return File.ResolveLinkTarget(descriptor, returnFinalTarget: false)?.ToString() ?? "";
        }
        catch (IOException)
        {
            return "";
        }
    }

    private static string NameOf(string task)
    {
        try
        {
            return File.ReadAllText(Path.Combine(task, "comm"));
        }
        catch (IOException)
        {
            return ".NET (ended)";
        }
    }
}

namespace VhostXen.Linux.Tests;

/// <summary>A file with a name of its own, so that the descriptors of this process that refer to it can be counted.</summary>
internal sealed class OpenDescriptors : IDisposable
{
    private readonly string _name = $"count-{Guid.NewGuid():N}";

    public OpenDescriptors() => File = MemFd.Create(_name, 4096);

    public FileDescriptor File { get; }

    public int Count => Directory.EnumerateFiles("/proc/self/fd").Count(path =>
    {
        try
        {
            return new FileInfo(path).LinkTarget?.Contains(_name) == true;
        }
        catch (IOException)
        {
            return false;
        }
    });

    public void Dispose() => File.Dispose();
}

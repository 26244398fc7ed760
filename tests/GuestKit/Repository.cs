namespace GuestKit;

/// <summary>Where things lie in the source tree: tests run scripts and daemons from it.</summary>
public static class Repository
{
    /// <summary>The directory with VhostXen.sln.</summary>
    public static string Root { get; } = FindRoot();

    /// <summary>Build configuration of the running tests, hence of the daemons built with them.</summary>
    public static string Configuration { get; } =
        AppContext.BaseDirectory.Contains("/Release/", StringComparison.Ordinal) ? "Release" : "Debug";

    private static string FindRoot()
    {
        for (string? directory = AppContext.BaseDirectory; directory is not null; directory = Path.GetDirectoryName(directory))
        {
            if (File.Exists(Path.Combine(directory, "VhostXen.sln")))
                return directory;
        }
        throw new InvalidOperationException($"no VhostXen.sln above {AppContext.BaseDirectory}");
    }
}

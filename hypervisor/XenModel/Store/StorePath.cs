namespace XenModel.Store;

/// <summary>Names of nodes: absolute, without empty parts, of few characters.</summary>
internal static class StorePath
{
    public const string IntroduceDomain = "@introduceDomain";
    public const string ReleaseDomain = "@releaseDomain";

    private const int RelativeMax = XenMemoryProvider.Abi.Xenstore.RelativePathMax;

    public static bool IsSpecial(string path) => path is IntroduceDomain or ReleaseDomain;

    /// <summary>A client's name for a node as an absolute one. Null: no valid name.</summary>
    public static string? Canonicalize(string name, ushort domid)
    {
        if (name.Length == 0 || name.Contains("//", StringComparison.Ordinal) || (name.Length > 1 && name[^1] == '/')) return null;
        if (name.AsSpan().ContainsAnyExcept(Allowed)) return null;
        string path = name[0] == '/' ? name : $"{Home(domid)}/{name}";
        return path.Length <= HomeLength(path) + RelativeMax ? path : null;
    }

    // What a path begins with that does not count against its length: "/local/domain/5/".
    private static int HomeLength(string path)
    {
        const string homes = "/local/domain/";
        if (!path.StartsWith(homes, StringComparison.Ordinal)) return 0;
        int end = path.AsSpan(homes.Length).IndexOfAnyExceptInRange('0', '9');
        return end is > 0 and <= 5 && path[homes.Length + end] == '/' ? homes.Length + end + 1 : 0;
    }

    public static string Home(ushort domid) => $"/local/domain/{domid}";

    public static string Parent(string path)
    {
        int slash = path.LastIndexOf('/');
        return slash <= 0 ? "/" : path[..slash];
    }

    public static string Name(string path) => path[(path.LastIndexOf('/') + 1)..];

    public static string Child(string path, string name) => path == "/" ? $"/{name}" : $"{path}/{name}";

    /// <summary>Is it that path or below it?</summary>
    public static bool IsWithin(string path, string root) =>
        path.StartsWith(root, StringComparison.Ordinal) && (path.Length == root.Length || root == "/" || path[root.Length] == '/');

    private static readonly System.Buffers.SearchValues<char> Allowed =
        System.Buffers.SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-/_@");
}

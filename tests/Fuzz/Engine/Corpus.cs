using System.Security.Cryptography;

namespace Fuzz.Engine;

/// <summary>Inputs in files: corpus/TARGET/NAME.bin. Names that begin with "crash-" once broke something.</summary>
internal sealed class Corpus(string folder)
{
    /// <summary>The corpus of the tree.</summary>
    public static string Root { get; } = Path.Combine(Path.GetDirectoryName(ThisFile())!, "..", "corpus");

    public IReadOnlyList<(string Name, byte[] Input)> Load()
        => Directory.Exists(folder)
            ? [.. Directory.GetFiles(folder, "*.bin").Order(StringComparer.Ordinal).Select(static path => (Path.GetFileName(path), File.ReadAllBytes(path)))]
            : [];

    /// <returns>Its path.</returns>
    public string Save(byte[] input, string prefix = "")
    {
        Directory.CreateDirectory(folder);
        string path = Path.Combine(folder, $"{prefix}{Convert.ToHexStringLower(SHA256.HashData(input))[..12]}.bin");
        File.WriteAllBytes(path, input);
        return path;
    }

    private static string ThisFile([System.Runtime.CompilerServices.CallerFilePath] string path = "") => path;
}

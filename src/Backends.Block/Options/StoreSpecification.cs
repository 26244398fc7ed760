using System.Diagnostics.CodeAnalysis;
using System.Globalization;

namespace Backends.Block.Options;

/// <summary>What --blk-file and --store come to.</summary>
/// <param name="Kind">Where the bytes are.</param>
/// <param name="Path">Of the file.</param>
/// <param name="Size">In bytes, where there is no file.</param>
internal sealed record StoreSpecification(StoreKind Kind, string Path, ulong Size)
{
    public static bool TryParse(
        DiskOptions options, [NotNullWhen(true)] out StoreSpecification? store, [NotNullWhen(false)] out string? problem)
    {
        store = null;
        problem = null;
        if (options.BlkFile is { } file)
        {
            store = new StoreSpecification(StoreKind.File, file, 0);
            return true;
        }

        (string kind, string argument) = Split(options.Store ?? "");
        switch (kind)
        {
            case "file" when argument.Length > 0:
                store = new StoreSpecification(StoreKind.File, argument, 0);
                return true;
            case "memory" or "null" when TryParseSize(argument, out ulong size):
                store = new StoreSpecification(kind == "null" ? StoreKind.Null : StoreKind.Memory, "", size);
                return true;
            case "memory" or "null":
                problem = $"{{Store}}: the size in '{options.Store}' must be a multiple of 512 such as 512M, 1G or 1048576";
                return false;
            default:
                problem = $"{{Store}} must be memory:SIZE, null:SIZE or file:PATH, not '{options.Store}'";
                return false;
        }
    }

    /// <summary>Bytes, or with a suffix K, M, G or T units of 1024; a whole number of sectors, at most 2^62.</summary>
    public static bool TryParseSize(string text, out ulong size)
    {
        size = 0;
        int shift = text.Length == 0 ? 0 : char.ToUpperInvariant(text[^1]) switch { 'K' => 10, 'M' => 20, 'G' => 30, 'T' => 40, _ => 0 };
        ReadOnlySpan<char> digits = shift == 0 ? text : text.AsSpan(0, text.Length - 1);
        if (!ulong.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out ulong number))
            return false;

        if (number == 0 || number > (1UL << 62) >> shift)
            return false;

        size = number << shift;
        return size % 512 == 0;
    }

    private static (string Kind, string Argument) Split(string text)
    {
        int colon = text.IndexOf(':');
        return colon < 0 ? (text, "") : (text[..colon], text[(colon + 1)..]);
    }
}

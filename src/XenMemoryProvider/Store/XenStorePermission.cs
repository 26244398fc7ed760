using System.Globalization;

namespace XenMemoryProvider.Store;

/// <summary>What a domain may do with a node.</summary>
public enum XenStoreAccess
{
    None,
    Read,
    Write,
    Both,
}

/// <summary>
/// One entry of a node's permissions. The first entry names the owner, who may do everything, and says what is allowed to
/// domains that have no entry.
/// </summary>
/// <param name="Access">On the wire n, r, w or b.</param>
/// <param name="Domid">Whose.</param>
public readonly record struct XenStorePermission(XenStoreAccess Access, ushort Domid)
{
    private const string Letters = "nrwb";

    /// <summary>As on the wire: "r3".</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Letters[(int)Access]}{Domid}");

    internal static bool TryParse(ReadOnlySpan<char> text, out XenStorePermission permission)
    {
        permission = default;
        if (text.Length < 2) return false;
        int letter = Letters.IndexOf(text[0]);
        if (letter < 0 || !ushort.TryParse(text[1..], NumberStyles.None, CultureInfo.InvariantCulture, out ushort domid)) return false;
        permission = new XenStorePermission((XenStoreAccess)letter, domid);
        return true;
    }
}

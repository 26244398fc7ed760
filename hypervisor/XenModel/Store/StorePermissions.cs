using System.Globalization;
using System.Text;

namespace XenModel.Store;

/// <summary>Who may do what to a node: the first entry is the owner and, by its letter, everybody who is not listed.</summary>
internal sealed record StorePermissions(IReadOnlyList<StorePermissions.Entry> Entries)
{
    /// <summary>Domain 0's, nobody else's.</summary>
    public static readonly StorePermissions Domain0 = new([new Entry(Access.None, 0)]);

    public ushort Owner => Entries[0].Domid;

    /// <summary>Null: not permissions.</summary>
    public static StorePermissions? TryParse(IEnumerable<string> texts)
    {
        var entries = new List<Entry>();
        foreach (string text in texts)
        {
            Access? access = text.Length < 2 ? null : text[0] switch
            {
                'n' => Access.None,
                'r' => Access.Read,
                'w' => Access.Write,
                'b' => Access.Read | Access.Write,
                _ => null,
            };
            if (access is null || !ushort.TryParse(text.AsSpan(1), NumberStyles.None, CultureInfo.InvariantCulture, out ushort domid)) return null;
            entries.Add(new Entry(access.Value, domid));
        }

        return entries.Count == 0 ? null : new StorePermissions(entries);
    }

    public Access Of(ushort domid, bool privileged)
    {
        if (privileged || domid == Owner) return Access.Read | Access.Write | Access.Owner;
        for (int i = 1; i < Entries.Count; i++)
        {
            if (Entries[i].Domid == domid) return Entries[i].Access;
        }

        return Entries[0].Access;
    }

    /// <summary>The same list with another owner.</summary>
    public StorePermissions OwnedBy(ushort domid) => new([new Entry(Entries[0].Access, domid), .. Entries.Skip(1)]);

    /// <summary>As GET_PERMS answers: each followed by NUL.</summary>
    public string Format()
    {
        var text = new StringBuilder();
        foreach (Entry entry in Entries)
        {
            char letter = entry.Access switch
            {
                Access.None => 'n',
                Access.Read => 'r',
                Access.Write => 'w',
                _ => 'b',
            };
            text.Append(letter).Append(entry.Domid.ToString(CultureInfo.InvariantCulture)).Append('\0');
        }

        return text.ToString();
    }

    [Flags]
    public enum Access
    {
        None = 0,
        Read = 1,
        Write = 2,

        /// <summary>May change permissions; never listed.</summary>
        Owner = 4,
    }

    public readonly record struct Entry(Access Access, ushort Domid);
}

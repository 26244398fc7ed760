using System.Numerics;

namespace XenVhostMaster.Transports.Pci;

/// <summary>
/// MSI-X: a table of messages that the guest fills, a mask per vector and one for all, and a pending bit for each vector
/// that fired while it was masked (PCI 3.0, 6.8.2).
/// </summary>
/// <param name="vectors">1 to 2048.</param>
internal sealed class MsixTable(int vectors, IPciSink sink)
{
    /// <summary>Bytes of a table entry: address low, address high, data, control.</summary>
    public const int EntrySize = 16;

    private const uint Masked = 1;
    private const uint VectorBits = 0xff;

    private readonly uint[] _table = MaskedTable(vectors);
    private readonly uint[] _pending = new uint[2 * ((vectors + 63) / 64)];
    private bool _enabled;
    private bool _allMasked;

    public int Vectors { get; } = vectors;

    /// <summary>Bytes of the table.</summary>
    public int TableSize => _table.Length * sizeof(uint);

    /// <summary>Bytes of the pending bits, in whole 64-bit words.</summary>
    public int PendingSize => _pending.Length * sizeof(uint);

    public bool Enabled => _enabled;

    /// <summary>The two bits of the capability's message control; what waited goes out once nothing holds it back.</summary>
    public void SetControl(bool enabled, bool allMasked)
    {
        _enabled = enabled;
        _allMasked = allMasked;
        if (!_enabled)
            return;

        for (int word = 0; word < _pending.Length; word++)
        {
            for (uint bits = _pending[word]; bits != 0; bits &= bits - 1)
                Deliver(word * 32 + BitOperations.TrailingZeroCount(bits));
        }
    }

    /// <summary>An interrupt on a vector; a number that is none is ignored.</summary>
    public void Fire(int vector)
    {
        if ((uint)vector >= (uint)Vectors || !_enabled)
            return;

        if (IsMasked(vector))
            _pending[vector >> 5] |= 1u << (vector & 31);
        else
            Inject(vector);
    }

    /// <summary>Reads the table. Accesses are of 4 or 8 aligned bytes (PCI 3.0, 6.8.2); anything else reads as zero.</summary>
    public ulong ReadTable(ulong offset, int size) => Read(_table, offset, size);

    public ulong ReadPending(ulong offset, int size) => Read(_pending, offset, size);

    public void WriteTable(ulong offset, int size, ulong value)
    {
        if (!Fits(_table, offset, size))
            return;

        int word = (int)offset >> 2;
        WriteWord(word, (uint)value);
        if (size == 8)
            WriteWord(word + 1, (uint)(value >> 32));
    }

    /// <summary>Forgets what is pending on a vector, whose cause is gone.</summary>
    public void Forget()
    {
        Array.Clear(_pending);
    }

    private static uint[] MaskedTable(int vectors)
    {
        uint[] table = new uint[4 * vectors];
        for (int i = 3; i < table.Length; i += 4)
            table[i] = Masked;

        return table;
    }

    private static bool Fits(uint[] words, ulong offset, int size)
        => size is 4 or 8 && (offset & (ulong)(size - 1)) == 0 && offset <= (ulong)(words.Length * sizeof(uint) - size);

    private static ulong Read(uint[] words, ulong offset, int size)
    {
        if (!Fits(words, offset, size))
            return 0;

        int word = (int)offset >> 2;
        return size == 8 ? words[word] | (ulong)words[word + 1] << 32 : words[word];
    }

    private void WriteWord(int word, uint value)
    {
        if ((word & 3) != 3)
        {
            // Messages go to whole 32-bit words.
            _table[word] = (word & 3) == 0 ? value & ~3u : value;
            return;
        }

        _table[word] = value & Masked;
        if (_enabled)
            Deliver(word >> 2);
    }

    /// <summary>
    /// An interrupt vector of 0 does not exist: it is how an HVM guest's Linux asks Xen for an event channel instead, and it
    /// then masks there and leaves the table's mask bits as they were at reset.
    /// </summary>
    private bool IsMasked(int vector)
        => (_table[4 * vector + 2] & VectorBits) != 0 && (_allMasked || (_table[4 * vector + 3] & Masked) != 0);

    private void Deliver(int vector)
    {
        uint bit = 1u << (vector & 31);
        if (IsMasked(vector) || (_pending[vector >> 5] & bit) == 0)
            return;

        _pending[vector >> 5] &= ~bit;
        Inject(vector);
    }

    private void Inject(int vector)
    {
        int entry = 4 * vector;
        sink.InjectMsi(_table[entry] | (ulong)_table[entry + 1] << 32, _table[entry + 2]);
    }
}

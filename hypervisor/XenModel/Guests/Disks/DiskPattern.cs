using System.Runtime.InteropServices;

namespace XenModel.Guests.Disks;

/// <summary>What a guest writes: every block of every version is different bytes, and anybody can say which.</summary>
public static class DiskPattern
{
    /// <summary>In bytes. What versions count.</summary>
    public const int BlockSize = 4096;

    /// <summary>The bytes of a block. Version 0 is zeroes.</summary>
    /// <param name="destination"><see cref="BlockSize"/> bytes.</param>
    public static void Fill(Span<byte> destination, ulong seed, long block, uint version)
    {
        if (version == 0)
        {
            destination.Clear();
            return;
        }

        // The state names seed, block and version, so that a block in a wrong place or of another time never matches.
        ulong state = Mix(seed) ^ Mix((ulong)block + 0x1000_0000_0000) ^ Mix(version + 0x2000_0000_0000UL);
        Span<ulong> words = MemoryMarshal.Cast<byte, ulong>(destination);
        for (int i = 0; i < words.Length; i++) words[i] = Mix(state + (ulong)i);
    }

    // The finalizer of SplitMix64.
    internal static ulong Mix(ulong value)
    {
        value += 0x9e37_79b9_7f4a_7c15;
        value = (value ^ value >> 30) * 0xbf58_476d_1ce4_e5b9;
        value = (value ^ value >> 27) * 0x94d0_49bb_1331_11eb;
        return value ^ value >> 31;
    }
}

using System.Collections.Concurrent;

namespace Fuzz.Engine;

/// <summary>
/// What happened in one run, in words without their numbers: causes of refusals, statuses, kinds of replies. It stands in
/// for branch coverage, which .NET cannot measure without instrumented assemblies: a product that names each cause tells as much.
/// </summary>
internal sealed class Behaviour
{
    private readonly ConcurrentDictionary<string, byte> _things = new();

    public IEnumerable<string> Things => _things.Keys;

    /// <summary>Any thread.</summary>
    public void Saw(string thing) => _things.TryAdd(WithoutNumbers(thing), 0);

    /// <summary>How much of something there was: a few steps, not every number.</summary>
    public void Count(string thing, long count)
        => _things.TryAdd($"{thing} {(count <= 2 ? count : 1 << (63 - System.Numerics.BitOperations.LeadingZeroCount((ulong)count)))}", 0);

    public void Clear() => _things.Clear();

    /// <summary>"region at gpa 0x1f40" and "region at gpa 0x8" are the same thing.</summary>
    public static string WithoutNumbers(string text)
    {
        Span<char> kept = text.Length <= 512 ? stackalloc char[text.Length] : new char[text.Length];
        int length = 0;
        for (int i = 0; i < text.Length; i++)
        {
            char letter = text[i];
            if (!char.IsAsciiDigit(letter))
            {
                kept[length++] = letter;
                continue;
            }

            while (i + 1 < text.Length && char.IsAsciiHexDigit(text[i + 1]) | text[i + 1] == 'x')
                i++;

            kept[length++] = '#';
        }

        return new string(kept[..length]);
    }
}

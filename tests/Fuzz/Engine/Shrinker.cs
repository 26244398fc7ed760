namespace Fuzz.Engine;

/// <summary>Makes an input shorter and more tame while it still does what it is wanted for.</summary>
internal static class Shrinker
{
    private const int MostMilliseconds = 2000;

    public static byte[] Shrink(byte[] input, Func<byte[], bool> wanted, int budget)
    {
        long end = Environment.TickCount64 + MostMilliseconds;
        bool StillDoes(byte[] shorter) => Environment.TickCount64 < end && wanted(shorter);

        for (int chunk = Math.Max(1, input.Length / 2); chunk >= 1 && budget > 0; chunk /= 2)
        {
            for (int at = 0; at < input.Length && input.Length > 1 && budget > 0; budget--)
            {
                byte[] without = [.. input.AsSpan(0, at), .. input.AsSpan(Math.Min(input.Length, at + chunk))];
                if (without.Length > 0 && StillDoes(without))
                    input = without;
                else
                    at += chunk;
            }
        }

        for (int at = 0; at < input.Length && budget > 0; at++)
        {
            if (input[at] == 0)
                continue;

            budget--;
            byte[] tamer = [.. input];
            tamer[at] = 0;
            if (StillDoes(tamer))
                input = tamer;
        }

        return input;
    }
}

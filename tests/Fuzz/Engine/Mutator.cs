namespace Fuzz.Engine;

/// <summary>Makes new inputs of old ones.</summary>
internal sealed class Mutator(Random random, int maxLength)
{
    /// <summary>Any bytes, more often few.</summary>
    public byte[] Fresh()
    {
        byte[] bytes = new byte[1 + random.Next(1 << random.Next(4, 1 + int.Log2(maxLength)))];
        random.NextBytes(bytes);
        return bytes;
    }

    public byte[] Mutate(byte[] parent, byte[] other)
    {
        var bytes = new List<byte>(parent);
        for (int i = 1 + random.Next(1 << random.Next(4)); i > 0; i--)
            Step(bytes, other);

        if (bytes.Count > maxLength)
            bytes.RemoveRange(maxLength, bytes.Count - maxLength);

        return bytes.Count == 0 ? [0] : [.. bytes];
    }

    private void Step(List<byte> bytes, byte[] other)
    {
        int at = random.Next(bytes.Count + 1);
        int left = bytes.Count - at;
        switch (random.Next(8))
        {
            case 0 when left > 0:
                bytes[at] ^= (byte)(1 << random.Next(8));
                break;
            case 1 when left > 0:
                bytes[at] = (byte)random.Next(256);
                break;
            case 2 when left > 0:
                bytes[at] = (byte)(bytes[at] + random.Next(-4, 5));
                break;
            case 3 when left > 0:
                bytes.RemoveRange(at, 1 + random.Next(Math.Min(left, 16)));
                break;
            case 4 when left > 0:
                int length = 1 + random.Next(Math.Min(left, 32));
                bytes.InsertRange(random.Next(bytes.Count + 1), bytes.GetRange(at, length));
                break;
            case 5:
                byte[] inserted = new byte[1 + random.Next(8)];
                random.NextBytes(inserted);
                bytes.InsertRange(at, inserted);
                break;
            case 6 when other.Length > 0:
                int from = random.Next(other.Length);
                bytes.InsertRange(at, other.AsSpan(from, 1 + random.Next(Math.Min(other.Length - from, 64))));
                break;
            case 7 when other.Length > 0 && left > 0:
                bytes.RemoveRange(at, left);
                bytes.AddRange(other.AsSpan(random.Next(other.Length)));
                break;
        }
    }
}

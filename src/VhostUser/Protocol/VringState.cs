namespace VhostUser.Protocol;

/// <summary>"Vring state description": a ring and a number about it (size, base, enable, kick).</summary>
/// <param name="Index">The ring, from 0. Unchecked, and 32 bits wide: check before narrowing (CVE-2020-10723).</param>
/// <param name="Number">What the message is about.</param>
internal readonly record struct VringState(uint Index, uint Number) : IPayload<VringState>
{
    public static int WireSize => 8;

    public static VringState Read(ref MessageReader reader) => new(reader.ReadUInt32(), reader.ReadUInt32());

    public void Write(ref MessageWriter writer)
    {
        writer.WriteUInt32(Index);
        writer.WriteUInt32(Number);
    }
}

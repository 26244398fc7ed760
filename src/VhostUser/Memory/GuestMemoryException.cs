namespace VhostUser.Memory;

/// <summary>A memory region was refused: it overlaps, exceeds its file, or the kernel would not map it.</summary>
public sealed class GuestMemoryException : Exception
{
    public GuestMemoryException(string message)
        : base(message)
    {
    }

    public GuestMemoryException(string message, Exception inner)
        : base(message, inner)
    {
    }
}

using XenMemoryProvider.Kernel;

namespace Conformance;

/// <summary>A Xen to run scripts on, seen from its domain 0.</summary>
internal abstract class Machine : IDisposable
{
    /// <summary>A RAM page of every guest that nothing uses, and as many after it as a script needs.</summary>
    public const ulong FreeGfn = 0x800;

    /// <summary>A guest frame with nothing at it.</summary>
    public const ulong HoleGfn = 0xf8000;

    /// <summary>Memory of the guests, in MiB.</summary>
    public const int GuestMemoryMiB = 32;

    /// <summary>For the table's head.</summary>
    public abstract string Title { get; }

    public abstract IXenKernel Kernel { get; }

    /// <inheritdoc cref="Run.Pvh"/>
    public abstract ushort Pvh { get; }

    /// <inheritdoc cref="Run.Hvm"/>
    public abstract ushort Hvm { get; }

    /// <summary>A paused PVH guest for one script, to be destroyed in the course of it.</summary>
    public abstract ushort CreateVictim();

    /// <summary>The guest that takes orders. A script leaves it as it was.</summary>
    public abstract Agent Agent { get; }

    /// <summary>Another one, for a script that breaks it. Its toolstack destroys it when it is crashed. Dispose it.</summary>
    public abstract Agent CreateAgent();

    /// <summary>xenstore as the <see cref="Agent"/> reaches it. The caller disposes it.</summary>
    public abstract Stream OpenGuestStore();

    /// <summary>Destroys a guest as its toolstack does. Returns when Xen does not know it any more, or waits for its memory alone.</summary>
    public abstract void Destroy(ushort domid);

    public abstract void Dispose();
}

using System.Buffers.Binary;
using XenMemoryProvider.Kernel;
using static VhostXen.Linux.LibC;

namespace XenVhostMaster.Domains;

/// <summary>
/// The little that the master itself reads and writes of a guest's memory: values of string instructions, and the used
/// index of a ring whose back-end died. Each access maps the page and lets go of it again.
/// </summary>
internal sealed class GuestMemory(IXenKernel kernel, IPrivcmd privcmd, ushort domid)
{
    /// <summary>Reads two bytes of a granted page, within it.</summary>
    /// <param name="address">With the grant bit: reference times the page size.</param>
    /// <returns>False where there is no such grant to us.</returns>
    public unsafe bool TryReadGrant(ulong address, out ushort value)
    {
        value = 0;
        ulong reference = (address & ~GuestRegions.GrantBit) / XenPage.Size;
        int offset = (int)(address % XenPage.Size);
        if (reference > uint.MaxValue || offset > XenPage.Size - sizeof(ushort))
            return false;

        // Rare (a back-end died): not worth a device that stays open.
        using IGntdev gntdev = kernel.OpenGntdev();
        GrantReference[] references = [new GrantReference(domid, (uint)reference)];
        if (gntdev.Map(references, writable: false, out GrantMapping mapping) < 0)
            return false;

        // SAFETY: one page is mapped, and both bytes are in it.
        value = BinaryPrimitives.ReadUInt16LittleEndian(new ReadOnlySpan<byte>((byte*)mapping.Address + offset, sizeof(ushort)));
        _ = gntdev.Unmap(mapping);
        return true;
    }

    /// <summary>Reads little-endian, 1 to 8 bytes that may cross into the next page; false where there is no memory.</summary>
    public bool TryRead(ulong address, int size, out ulong value)
    {
        Span<byte> bytes = stackalloc byte[8];
        bytes.Clear();
        bool ok = Copy(address, bytes[..size], write: false);
        value = BinaryPrimitives.ReadUInt64LittleEndian(bytes);
        return ok;
    }

    /// <summary>Writes little-endian.</summary>
    public bool TryWrite(ulong address, int size, ulong value)
    {
        Span<byte> bytes = stackalloc byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, value);
        return Copy(address, bytes[..size], write: true);
    }

    /// <summary>True when there is RAM at a guest frame.</summary>
    public bool IsRam(ulong frame) => Map(frame, PROT_READ) is { } mapping && Close(mapping);

    private static bool Close(XenMapping mapping)
    {
        mapping.Dispose();
        return true;
    }

    private bool Copy(ulong address, Span<byte> bytes, bool write)
    {
        while (!bytes.IsEmpty)
        {
            int offset = (int)(address & (XenPage.Size - 1));
            int part = Math.Min(bytes.Length, XenPage.Size - offset);
            using XenMapping? page = Map(address / XenPage.Size, write ? PROT_READ | PROT_WRITE : PROT_READ);
            if (page is null)
                return false;

            Span<byte> memory = page.Memory.Span.Slice(offset, part);
            if (write)
                bytes[..part].CopyTo(memory);
            else
                memory.CopyTo(bytes);

            address += (ulong)part;
            bytes = bytes[part..];
        }

        return true;
    }

    private XenMapping? Map(ulong frame, int protection)
    {
        Span<int> errors = stackalloc int[1];
        XenMapping? mapping = null;
        try
        {
            mapping = privcmd.MapForeign(domid, [frame], protection, errors, TimeSpan.FromSeconds(1));
        }
        catch (XenException)
        {
            // No domain any more, or no such frame: nothing to read either way.
        }

        if (errors[0] == 0)
            return mapping;

        mapping?.Dispose();
        return null;
    }
}

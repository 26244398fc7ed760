using System.Runtime.InteropServices;
using VhostXen.Linux;
using XenMemoryProvider.Abi;
using static VhostXen.Linux.LibC;

namespace XenMemoryProvider.Kernel.Linux;

/// <summary>/dev/xen/gntdev.</summary>
internal sealed unsafe class LinuxGntdev : IGntdev
{
    private const int MaxOnStack = 256;

    private readonly FileDescriptor _gntdev = XenDevice.Open("xen-gntdev", O_RDWR, "/dev/xen/gntdev");

    public int Map(ReadOnlySpan<GrantReference> references, bool writable, out GrantMapping mapping)
    {
        mapping = default;
        if (references.IsEmpty) return -EINVAL;
        if (references.Length > MaxOnStack) return MapMany(references, writable, out mapping);
        byte* argument = stackalloc byte[Gntdev.MapGrantRefHeaderSize + (MaxOnStack * sizeof(Gntdev.GrantRef))];
        return Map((Gntdev.MapGrantRef*)argument, references, writable, out mapping);
    }

    public int Unmap(in GrantMapping mapping)
    {
        // First the pages, then the slot: a PVH kernel gives the grants back only at the second step.
        // SAFETY: the caller hands over what Map gave it, once.
        int unmapped = munmap((void*)mapping.Address, (nuint)mapping.Pages * XenPage.Size) == 0 ? 0 : -errno;
        int released = Release(mapping.Index, mapping.Pages);
        return unmapped < 0 ? unmapped : released;
    }

    public int Copy(Span<Gntdev.GrantCopySegment> segments)
    {
        if (segments.IsEmpty) return 0;
        // SAFETY: pinned for the call; the driver checks every address in it.
        fixed (Gntdev.GrantCopySegment* first = segments)
        {
            var copy = new Gntdev.GrantCopy { Count = (uint)segments.Length, Segments = (ulong)first };
            return XenDevice.Ioctl(_gntdev, Gntdev.IoctlGrantCopy, &copy);
        }
    }

    public int SetUnmapNotify(in GrantMapping mapping, ulong? clearByteOffset, uint? port)
    {
        var notify = new Gntdev.UnmapNotify
        {
            Index = mapping.Index + clearByteOffset.GetValueOrDefault(),
            Action = (clearByteOffset is null ? 0 : Gntdev.UnmapNotifyClearByte) | (port is null ? 0 : Gntdev.UnmapNotifySendEvent),
            EventChannelPort = port.GetValueOrDefault(),
        };
        return XenDevice.Ioctl(_gntdev, Gntdev.IoctlSetUnmapNotify, &notify);
    }

    public void Dispose() => _gntdev.Dispose();

    private int MapMany(ReadOnlySpan<GrantReference> references, bool writable, out GrantMapping mapping)
    {
        void* argument = NativeMemory.Alloc(Gntdev.MapGrantRefHeaderSize + ((nuint)references.Length * (nuint)sizeof(Gntdev.GrantRef)));
        try
        {
            return Map((Gntdev.MapGrantRef*)argument, references, writable, out mapping);
        }
        finally
        {
            NativeMemory.Free(argument);
        }
    }

    // SAFETY: the argument has room for every reference.
    private int Map(Gntdev.MapGrantRef* argument, ReadOnlySpan<GrantReference> references, bool writable, out GrantMapping mapping)
    {
        mapping = default;
        argument->Count = (uint)references.Length;
        argument->Pad = 0;
        argument->Index = 0;
        Gntdev.GrantRef* to = &argument->Ref0;
        for (int i = 0; i < references.Length; i++)
            to[i] = new Gntdev.GrantRef { Domid = references[i].Domid, Ref = references[i].Reference };

        // The ioctl only reserves a slot. Xen sees the references at mmap, and one bad reference fails them all.
        using FileDescriptor.Borrowed fd = _gntdev.Borrow();
        if (ioctl(fd.Value, Gntdev.IoctlMapGrantRef, argument) < 0) return -errno;
        int prot = writable ? PROT_READ | PROT_WRITE : PROT_READ;
        void* address = mmap(null, (nuint)references.Length * XenPage.Size, prot, MAP_SHARED, fd.Value, (long)argument->Index);
        if ((nint)address == MAP_FAILED)
        {
            int error = errno;
            _ = Release(argument->Index, references.Length);
            return -error;
        }

        mapping = new GrantMapping((nint)address, references.Length, argument->Index);
        return 0;
    }

    private int Release(ulong index, int pages)
    {
        var unmap = new Gntdev.UnmapGrantRef { Index = index, Count = (uint)pages };
        return XenDevice.Ioctl(_gntdev, Gntdev.IoctlUnmapGrantRef, &unmap);
    }
}

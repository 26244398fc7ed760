using System.Runtime.InteropServices;
using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;

namespace XenMemoryProvider.Ioreq;

public sealed partial class DeviceModel
{
    private const int MaxExtents = XenPage.Size / 16;

    /// <summary>Tells Xen's dirty log (migration) which frames this device model wrote. No effect outside log-dirty mode.</summary>
    /// <param name="extents">Any number; they are sent 256 at a time and changed by nobody.</param>
    /// <returns>0 or a negative errno.</returns>
    public int ModifiedMemory(ReadOnlySpan<DmOp.ModifiedMemoryExtent> extents)
    {
        Span<DmOp.ModifiedMemoryExtent> buffer = stackalloc DmOp.ModifiedMemoryExtent[Math.Min(extents.Length, MaxExtents)];
        while (!extents.IsEmpty)
        {
            int count = Math.Min(extents.Length, MaxExtents);
            extents[..count].CopyTo(buffer); // Xen writes into it, and how far it came.
            var call = new DmOp.Call { Op = DmOp.Command.ModifiedMemory, ModifiedMemory = new() { NrExtents = (uint)count } };
            int result = Run(ref call, MemoryMarshal.AsBytes(buffer[..count]));
            if (result < 0) return result;
            extents = extents[count..];
        }
        return 0;
    }

    /// <summary>Reads which frames of a frame buffer were written since the last time.</summary>
    /// <param name="firstFrame">First guest frame.</param>
    /// <param name="count">Frames, at most 32768; 0 ends tracking.</param>
    /// <param name="bitmap">Gets a bit per frame, least significant first.</param>
    /// <returns>0 or a negative errno.</returns>
    public int TrackDirtyVram(ulong firstFrame, uint count, Span<byte> bitmap)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(bitmap.Length, checked((int)((count + 7L) / 8)));
        var call = new DmOp.Call { Op = DmOp.Command.TrackDirtyVram, TrackDirtyVram = new() { Nr = count, FirstPfn = firstFrame } };
        return Run(ref call, bitmap);
    }

    /// <summary>Changes the type of frames.</summary>
    /// <exception cref="XenException">EINVAL: not that way; EAGAIN: paged out or shared.</exception>
    public void SetMemType(HvmOp.MemType type, ulong firstFrame, uint count)
    {
        var call = new DmOp.Call { Op = DmOp.Command.SetMemType, SetMemType = new() { MemType = type, FirstPfn = firstFrame, Nr = count } };
        Check(ref call);
    }

    /// <summary>Moves frames to another place in the guest's memory (Xen 4.11 and later).</summary>
    /// <exception cref="XenException">EINVAL and what the move itself meets.</exception>
    public void RelocateMemory(ulong fromFrame, ulong toFrame, uint count)
    {
        var call = new DmOp.Call { Op = DmOp.Command.RelocateMemory, RelocateMemory = new() { SrcGfn = fromFrame, DstGfn = toFrame, Size = count } };
        Check(ref call);
    }

    /// <summary>Sets how the guest caches frames; both ends are within the range.</summary>
    /// <exception cref="XenException">EINVAL; ENOENT: nothing to delete; ENOMEM.</exception>
    public void PinMemoryCacheattr(ulong firstFrame, ulong lastFrame, DmOp.CacheAttribute attribute)
    {
        var call = new DmOp.Call { Op = DmOp.Command.PinMemoryCacheattr, PinMemoryCacheattr = new() { Start = firstFrame, End = lastFrame, Type = attribute } };
        Check(ref call);
    }
}

using XenMemoryProvider.Abi;

namespace XenMemoryProvider.Kernel;

/// <summary>The hypercalls whose arguments are plain values. Each copies its arguments into a buffer and their results out of it.</summary>
public static class PrivcmdExtensions
{
    /// <summary>memory_op.</summary>
    /// <returns>0 or more, or a negative errno.</returns>
    public static int MemoryOp<T>(this IPrivcmd privcmd, MemoryOp.Command command, ref T argument)
        where T : unmanaged => Call(privcmd, Hypercall.MemoryOp, (ulong)command, new Span<T>(ref argument), counted: false);

    /// <summary>hvm_op.</summary>
    /// <returns>0 or more, or a negative errno.</returns>
    public static int HvmOp<T>(this IPrivcmd privcmd, HvmOp.Command command, ref T argument)
        where T : unmanaged => Call(privcmd, Hypercall.HvmOp, (ulong)command, new Span<T>(ref argument), counted: false);

    /// <summary>event_channel_op.</summary>
    /// <returns>0 or more, or a negative errno.</returns>
    public static int EventChannelOp<T>(this IPrivcmd privcmd, EventChannelOp.Command command, ref T argument)
        where T : unmanaged => Call(privcmd, Hypercall.EventChannelOp, (ulong)command, new Span<T>(ref argument), counted: false);

    /// <summary>grant_table_op on an array.</summary>
    /// <returns>0: look at the status of each; or a negative errno: the batch was abandoned.</returns>
    public static int GrantTableOp<T>(this IPrivcmd privcmd, GrantTableOp.Command command, Span<T> arguments)
        where T : unmanaged => Call(privcmd, Hypercall.GrantTableOp, (ulong)command, arguments, counted: true);

    /// <summary>Reads a parameter of a domain.</summary>
    /// <returns>0, or a negative errno.</returns>
    public static int GetHvmParam(this IPrivcmd privcmd, ushort domid, HvmParam index, out ulong value)
    {
        var parameter = new HvmOp.Param { Domid = domid, Index = index };
        int result = privcmd.HvmOp(Abi.HvmOp.Command.GetParam, ref parameter);
        value = parameter.Value;
        return result;
    }

    /// <summary>Writes a parameter of a domain.</summary>
    /// <returns>0, or a negative errno: EEXIST for one that is write-once.</returns>
    public static int SetHvmParam(this IPrivcmd privcmd, ushort domid, HvmParam index, ulong value)
    {
        var parameter = new HvmOp.Param { Domid = domid, Index = index, Value = value };
        return privcmd.HvmOp(Abi.HvmOp.Command.SetParam, ref parameter);
    }

    private static int Call<T>(IPrivcmd privcmd, Hypercall op, ulong command, Span<T> arguments, bool counted)
        where T : unmanaged
    {
        using HypercallBuffer buffer = privcmd.AllocateBuffer(checked(arguments.Length * System.Runtime.CompilerServices.Unsafe.SizeOf<T>()));
        ulong handle = buffer.Put<T>(arguments);
        var call = new Privcmd.Hypercall { Op = (ulong)op, Arg0 = command, Arg1 = handle, Arg2 = counted ? (ulong)arguments.Length : 0 };
        int result = privcmd.Hypercall(call, buffer);
        if (handle != 0) buffer.Span<T>(handle, arguments.Length).CopyTo(arguments);
        return result;
    }
}

using Xunit;
using static VhostXen.Linux.LibC;

namespace VhostXen.Linux.Tests;

/// <summary>A thread under a seccomp filter like those of container runtimes, which refuse io_uring_setup.</summary>
public sealed unsafe class RefusedIoUringTests
{
    private const int PR_SET_SECCOMP = 22, SECCOMP_MODE_FILTER = 2;
    private const uint SECCOMP_RET_ALLOW = 0x7fff0000, SECCOMP_RET_ERRNO = 0x00050000;
    private const ushort LoadWord = 0x20, JumpIfEqual = 0x15, Return = 0x06;

    [Theory]
    [InlineData(EPERM)]
    [InlineData(ENOSYS)]
    public void Setup_Refused_IsNotSupportedAndNamesTheError(int error)
    {
        bool supported = true;
        SystemCallException? failure = null;
        Exception? unexpected = null;
        var thread = new Thread(() => unexpected = Record.Exception(() =>
        {
            Refuse(SYS_io_uring_setup, error);
            supported = IoUring.Probe();
            failure = Assert.Throws<SystemCallException>(() => new IoUring(4));
        }));
        thread.Start();
        thread.Join();

        Assert.Null(unexpected);
        Assert.False(supported);
        Assert.Equal(error, failure!.Error);
        Assert.StartsWith($"io_uring_setup: {errno_name(error)} (", failure.Message);
    }

    // The filter holds for the calling thread alone, and as long as it lives.
    private static void Refuse(long call, int error)
    {
        Instruction* program = stackalloc Instruction[4];
        program[0] = new Instruction { Code = LoadWord, Value = 0 };
        program[1] = new Instruction { Code = JumpIfEqual, IfTrue = 0, IfFalse = 1, Value = (uint)call };
        program[2] = new Instruction { Code = Return, Value = SECCOMP_RET_ERRNO | (uint)error };
        program[3] = new Instruction { Code = Return, Value = SECCOMP_RET_ALLOW };
        var filter = new Filter { Length = 4, Program = program };
        Assert.Equal(0, prctl(PR_SET_NO_NEW_PRIVS, 1));
        Assert.Equal(0, prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, (nint)(&filter)));
    }

    private struct Instruction
    {
        public ushort Code;
        public byte IfTrue;
        public byte IfFalse;
        public uint Value;
    }

    private struct Filter
    {
        public ushort Length;
        public Instruction* Program;
    }
}

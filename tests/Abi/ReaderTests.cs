using System.Runtime.InteropServices;
using VhostXen.Linux;
using Xunit;

namespace VhostXen.Abi.Tests;

/// <summary>The comparison must be able to fail: each of these declares something C does not.</summary>
[Trait("Category", "Gcc")]
public sealed class ReaderTests
{
    [Theory]
    [InlineData(typeof(WrongOffset), "Second offset is 4")]
    [InlineData(typeof(WrongSize), "WrongSize size is 24")]
    [InlineData(typeof(WrongFieldSize), "First size is 4")]
    [InlineData(typeof(WrongConstants), "WrongConstants.EINVAL is (23LL)")]
    [InlineData(typeof(WrongEnum), "WrongEnum.Nonblocking is 2049ULL")]
    public void Compare_WrongDeclaration_GccRefuses(Type type, string complaint)
    {
        AbiReader reader = AbiReader.Of([type]);
        Assert.Empty(reader.Problems);

        AbiComparison result = AbiComparison.Run(reader);

        Assert.Contains("static assertion failed", result.Errors);
        Assert.Contains(complaint, result.Errors);
    }

    [Fact]
    public void Compare_RightDeclarations_AreCountedAndPass()
    {
        AbiReader reader = AbiReader.Of([typeof(Right), typeof(RightConstants)]);
        Assert.Empty(reader.Problems);

        AbiComparison result = AbiComparison.Run(reader);

        Assert.True(result.Errors.Length == 0, result.Errors);
        Assert.Equal(5 + 3, result.Compiled);
        Assert.Equal(["RightConstants.NoHeaderHasThis"], result.Absent.Select(a => a.Subject));
    }

    [Theory]
    [InlineData(typeof(Unmapped), "no [CStruct]")]
    [InlineData(typeof(UnmappedConstant), "no [CConstant]")]
    [InlineData(typeof(UnmappedEnum), "no [CConstant]")]
    public void Read_NoMapping_IsAProblem(Type type, string problem) =>
        Assert.Contains(AbiReader.Of([type]).Problems, p => p.Contains(type.Name) && p.Contains(problem));

#pragma warning disable CS0649, CS0169
    [CStruct("struct iovec", "sys/uio.h")]
    [StructLayout(LayoutKind.Explicit, Size = 16)]
    private struct WrongOffset
    {
        [FieldOffset(0), CField("iov_base")] public ulong First;
        [FieldOffset(4), CField("iov_len")] public ulong Second;
    }

    [CStruct("struct iovec", "sys/uio.h")]
    [StructLayout(LayoutKind.Sequential, Size = 24)]
    private struct WrongSize
    {
        [CField("iov_base")] public ulong First;
        [CField("iov_len")] public ulong Second;
    }

    [CStruct("struct iovec", "sys/uio.h")]
    private struct WrongFieldSize
    {
        [CField("iov_base")] public uint First;
        [NotInC("padding")] public uint Padding;
        [CField("iov_len")] public ulong Second;
    }

    [CStruct("struct iovec", "sys/uio.h")]
    private unsafe struct Right
    {
        [CField("iov_base")] public void* First;
        [CField("iov_len")] private nuint _second;
    }

    private struct Unmapped
    {
        public int Field;
    }

    [CStruct("struct iovec", "sys/uio.h")]
    private struct UnmappedConstant
    {
        public const int Constant = 1;
        [CField("iov_base")] public ulong First;
        [CField("iov_len")] public ulong Second;
    }

    [CHeader("errno.h")]
    private enum UnmappedEnum
    {
        Value,
    }

    [CHeader("sys/eventfd.h")]
    private enum WrongEnum : uint
    {
        [CConstant("EFD_NONBLOCK")] Nonblocking = 0x801,
    }
#pragma warning restore CS0649, CS0169

    [CHeader("errno.h")]
    private static class WrongConstants
    {
        public const int EPERM = 1;
        public const int EINVAL = 23;
    }

    [CHeader("errno.h")]
    private static class RightConstants
    {
        public const int EPERM = 1;
        public const int NoHeaderHasThis = 1;
        [CConstant("sizeof(struct flock)", "fcntl.h")] public const byte FlockSize = 32;
        [NotInC("ours")] public const int Ours = 1;
        public static long EINVAL => 22;
    }
}

using XenMemoryProvider.Abi;
using Xunit;
using IoreqSlot = XenMemoryProvider.Abi.Ioreq;

namespace XenMemoryProvider.Tests.Abi;

public sealed class IoreqTests
{
    [Theory]
    [InlineData(0x00)]
    [InlineData(0x70)]
    [InlineData(0xf0)]
    public void State_Set_KeepsTheOtherBits(byte others)
    {
        var request = new IoreqSlot { Bits = others };

        foreach (IoreqState state in Enum.GetValues<IoreqState>())
        {
            request.State = state;

            Assert.Equal(state, request.State);
            Assert.Equal(others, request.Bits & 0xf0);
        }
    }

    [Fact]
    public void Bits_Each_SetAndClearAlone()
    {
        var request = new IoreqSlot { State = IoreqState.InProcess };

        request.IsRead = true;
        Assert.Equal(0x22, request.Bits);
        request.DataIsPointer = true;
        Assert.Equal(0x32, request.Bits);
        request.Descending = true;
        Assert.Equal(0x72, request.Bits);
        request.IsRead = false;
        Assert.Equal(0x52, request.Bits);
        Assert.True(request is { DataIsPointer: true, Descending: true, IsRead: false, State: IoreqState.InProcess });
    }

    [Fact]
    public void TryMove_FromTheStateItIsIn_MovesAndKeepsTheOtherBits()
    {
        byte bits = 0x70 | (byte)IoreqState.Ready;

        Assert.True(IoreqSlot.TryMove(ref bits, IoreqState.Ready, IoreqState.InProcess));

        Assert.Equal(0x70 | (byte)IoreqState.InProcess, bits);
        Assert.Equal(IoreqState.InProcess, IoreqSlot.StateOf(ref bits));
    }

    [Fact]
    public void TryMove_FromAnotherState_ChangesNothing()
    {
        byte bits = 0x20 | (byte)IoreqState.None;

        Assert.False(IoreqSlot.TryMove(ref bits, IoreqState.Ready, IoreqState.InProcess));

        Assert.Equal(0x20, bits);
    }

    [Fact]
    public void BufferedIoreq_Fields_DoNotOverlap()
    {
        var request = new BufferedIoreq { Type = IoreqType.TimeOffset, IsRead = true, SizeShift = 2, Address = 0xabcde };

        Assert.Equal(0xabcde000 | 2u << 10 | 1u << 9 | 7, request.Bits);
        request.Address = 1;
        request.SizeShift = 3;
        request.IsRead = false;
        request.Type = IoreqType.Copy;
        Assert.Equal((1u, 3, false, IoreqType.Copy), (request.Address, request.SizeShift, request.IsRead, request.Type));
    }
}

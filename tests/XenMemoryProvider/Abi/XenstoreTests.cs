using XenMemoryProvider.Abi;
using Xunit;

namespace XenMemoryProvider.Tests.Abi;

public sealed class XenstoreTests
{
    [Fact]
    public void ErrorName_EveryErrorOfTheDaemon_ReadsBack()
    {
        string[] sent = ["EINVAL", "EACCES", "EEXIST", "EISDIR", "ENOENT", "ENOMEM", "ENOSPC", "EIO", "ENOTEMPTY", "ENOSYS", "EROFS", "EBUSY",
            "EAGAIN", "EISCONN", "E2BIG", "EPERM"];

        Assert.Equal(sent, sent.Select(name => Xenstore.ErrorName(Xenstore.ParseErrorName(name))));
        Assert.Null(Xenstore.ErrorName(XenErrno.ESRCH));
    }

    [Theory]
    [InlineData("")]
    [InlineData("E")]
    [InlineData("22")]
    [InlineData("ESRCH")]
    [InlineData("ENOENT, EIO")]
    [InlineData("enoent")]
    public void ParseErrorName_NotOneOfThem_IsEinval(string name) => Assert.Equal(XenErrno.EINVAL, Xenstore.ParseErrorName(name));
}

using XenMemoryProvider.Kernel.Linux;
using Xunit;
using static VhostXen.Linux.LibC;

namespace XenMemoryProvider.Tests.Kernel;

public sealed class PagingRetryTests
{
    private static readonly TimeSpan Long = TimeSpan.FromSeconds(30);

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Run_PagesComeBack_MapsThemWhateverTheCallReturns(bool reportsPaging)
    {
        var errors = new int[8];
        var driver = new FakeDriver(errors, reportsPaging);
        driver.PagedOut(1, 1).PagedOut(3, 2).PagedOut(4, 3).PagedOut(7, 1);

        Assert.Equal(0, PagingRetry.Run(ref driver, errors, Long));

        Assert.All(errors, error => Assert.Equal(0, error));
        Assert.Equal([(0, 8), (1, 1), (3, 2), (7, 1), (3, 2), (4, 1)], driver.Calls);
    }

    [Fact]
    public void Run_HolesAndMappedPages_AreNeverAskedForAgain()
    {
        var errors = new int[6];
        var driver = new FakeDriver(errors, reportsPaging: true);
        driver.Hole(0).Hole(2).PagedOut(3, 1);

        Assert.Equal(0, PagingRetry.Run(ref driver, errors, Long));

        Assert.Equal([-EINVAL, 0, -EINVAL, 0, 0, 0], errors);
        Assert.Equal([(0, 6), (3, 1)], driver.Calls);
    }

    [Fact]
    public void Run_PageNeverComesBack_EndsAtTheTimeoutWithItsError()
    {
        var errors = new int[3];
        var driver = new FakeDriver(errors, reportsPaging: true);
        driver.PagedOut(1, int.MaxValue);

        Assert.Equal(0, PagingRetry.Run(ref driver, errors, TimeSpan.FromMilliseconds(20)));

        Assert.Equal([0, -ENOENT, 0], errors);
        Assert.True(driver.Calls.Count > 1);
    }

    [Fact]
    public void Run_NoTimeToWait_ReportsPagedOutPages()
    {
        var errors = new int[2];
        var driver = new FakeDriver(errors, reportsPaging: true);
        driver.PagedOut(0, 1);

        Assert.Equal(0, PagingRetry.Run(ref driver, errors, TimeSpan.Zero));

        Assert.Equal([-ENOENT, 0], errors);
    }

    [Fact]
    public void Run_RetryRefused_KeepsTheErrorThatTheDriverZeroed()
    {
        var errors = new int[4];
        var driver = new FakeDriver(errors, reportsPaging: true) { RefuseRetries = true };
        driver.PagedOut(1, 1).PagedOut(2, 1);

        Assert.Equal(0, PagingRetry.Run(ref driver, errors, Long));

        Assert.Equal([0, -ENOENT, -ENOENT, 0], errors);
    }

    [Fact]
    public void Run_WholeCallFails_IsItsErrno()
    {
        var errors = new int[1];
        var driver = new FakeDriver(errors, reportsPaging: true) { Refuse = -EPERM };

        Assert.Equal(-EPERM, PagingRetry.Run(ref driver, errors, Long));
    }

    /// <summary>MMAPBATCH_V2 as the driver behaves: zeroes the errors first, takes each page once.</summary>
    private sealed class FakeDriver(int[] errors, bool reportsPaging) : IMapBatch
    {
        private readonly int[] _pagedOut = new int[errors.Length];
        private readonly bool[] _holes = new bool[errors.Length];
        private readonly bool[] _mapped = new bool[errors.Length];

        public List<(int First, int Count)> Calls { get; } = [];

        public int Refuse { get; init; }

        public bool RefuseRetries { get; init; }

        public FakeDriver PagedOut(int page, int calls)
        {
            _pagedOut[page] = calls;
            return this;
        }

        public FakeDriver Hole(int page)
        {
            _holes[page] = true;
            return this;
        }

        public int Map(int first, int count)
        {
            Calls.Add((first, count));
            errors.AsSpan(first, count).Clear();
            if (Refuse != 0) return Refuse;
            if (RefuseRetries && Calls.Count > 1) return -EINVAL;
            if (_mapped.AsSpan(first, count).Contains(true)) return -EINVAL;
            for (int page = first; page < first + count; page++)
            {
                errors[page] = _holes[page] ? -EINVAL : _pagedOut[page]-- > 0 ? -ENOENT : 0;
                _mapped[page] = errors[page] == 0;
            }
            return reportsPaging && errors.AsSpan(first, count).Contains(-ENOENT) ? -ENOENT : 0;
        }
    }
}

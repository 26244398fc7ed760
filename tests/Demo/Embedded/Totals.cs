using System.Globalization;

namespace Demo.Embedded;

/// <summary>What all guests did, and what it cost in exits.</summary>
internal sealed class Totals
{
    private long _requests, _written, _verified, _ioreqs, _masterRequests, _kicks, _interrupts;
    private double _seconds;
    private bool _anyFailed;

    /// <param name="report">The guest's own account.</param>
    /// <param name="master">The master's, of the same guest.</param>
    public void Add(GuestReport report, string master)
    {
        _anyFailed |= !report.Passed;
        _requests += report.Requests;
        _written += report.Number("bytes-written");
        _verified += report.Number("bytes-verified");
        _ioreqs += report.Number("ioreqs");
        _kicks += report.Number("kicks");
        _interrupts += report.Number("interrupts");
        _seconds += report.Seconds;
        foreach (string key in (ReadOnlySpan<string>)["port-reads", "port-writes", "memory-reads", "memory-writes", "pci-reads", "pci-writes"])
            _masterRequests += MasterProcess.Number(master, key);
    }

    public void Report(Progress progress)
    {
        Row("bytes written", $"{_written}");
        Row("bytes read and compared by the guests", $"{_verified}");
        Row("requests", string.Create(CultureInfo.InvariantCulture, $"{_requests}, {_requests / _seconds:0} a second"));
        progress.Verified("ioreqs: guests' exits = what the master answered", _ioreqs == _masterRequests, string.Create(CultureInfo.InvariantCulture, $"{_ioreqs} and {_masterRequests}: {(double)_ioreqs / _requests:0.000} a request"));
        Row("kicks", string.Create(CultureInfo.InvariantCulture, $"{_kicks}: {(double)_kicks / _requests:0.000} a request"));
        Row("interrupts", string.Create(CultureInfo.InvariantCulture, $"{_interrupts}: {(double)_interrupts / _requests:0.000} a request"));

        void Row(string what, string result) => progress.Verified(what, !_anyFailed, result);
    }
}

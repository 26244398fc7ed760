using XenModel.Memory;

namespace XenModel.Drivers;

/// <summary>
/// Pages that a process has mapped, with a reference of each frame: what keeps a page alive, and stale, when its guest gives
/// it away. Whoever unmaps them says so here, once.
/// </summary>
internal sealed class MappedPages(Hypervisor hypervisor, int count)
{
    private readonly FrameReference?[] _frames = new FrameReference?[count];
    private Action? _released;
    private bool _gone;

    public int Count => _frames.Length;

    public FrameReference? this[int page] => _frames[page];

    /// <summary>May be written to through the mapping?</summary>
    public bool Writable { get; init; }

    /// <summary>Fills a place that is still empty; the reference becomes this object's. With the gate held.</summary>
    public void Set(int page, FrameReference frame) => _frames[page] = frame;

    /// <summary>What else there is to do when the pages go (a grant's unmapping, a notification), the last first. With the gate held.</summary>
    public void WhenReleased(Action released) => _released = released + _released;

    /// <summary>Pages of a part that are consecutive in one pool.</summary>
    public IEnumerable<Run> Runs(int first, int length)
    {
        for (int page = first; page < first + length;)
        {
            if (_frames[page] is not { } frame)
            {
                page++;
                continue;
            }

            int run = 1;
            while (page + run < first + length && _frames[page + run] is { } next && next.Pool == frame.Pool && next.Frame == frame.Frame + (uint)run) run++;
            yield return new Run(page, run, frame);
            page += run;
        }
    }

    /// <summary>The pages are unmapped.</summary>
    public void Release()
    {
        lock (hypervisor.Gate)
        {
            if (_gone) return;
            _gone = true;
            _released?.Invoke();
            foreach (FrameReference? frame in _frames) frame?.Release();
        }
    }

    /// <param name="Page">First page of the mapping.</param>
    /// <param name="Count">Pages.</param>
    /// <param name="Frame">The first of them.</param>
    public readonly record struct Run(int Page, int Count, FrameReference Frame);
}

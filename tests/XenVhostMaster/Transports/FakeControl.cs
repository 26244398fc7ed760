using XenVhostMaster.Transports;

namespace XenVhostMaster.Tests.Transports;

/// <summary>The control plane as the register models see it: remembers what was asked, answers when told to.</summary>
internal sealed class FakeControl : IDeviceControl
{
    public VirtioDeviceModel? Model { get; set; }

    public long Kicks { get; private set; }

    public int LastKick { get; private set; } = -1;

    public int Starts { get; private set; }

    public int Resets { get; private set; }

    public bool ResetPending { get; private set; }

    public List<int> StartedQueues { get; } = [];

    public List<int> QueuesToReset { get; } = [];

    public int ConfigWrites { get; private set; }

    public void Kick(int queue)
    {
        Kicks++;
        LastKick = queue;
    }

    public void Start() => Starts++;

    public void Reset()
    {
        Resets++;
        ResetPending = true;
        QueuesToReset.Clear();
    }

    public void StartQueue(int queue) => StartedQueues.Add(queue);

    public void ResetQueue(int queue) => QueuesToReset.Add(queue);

    public void ConfigWritten() => ConfigWrites++;

    /// <summary>The back-end has stopped.</summary>
    public void FinishReset()
    {
        ResetPending = false;
        Model!.ResetDone();
    }

    public void FinishQueueReset()
    {
        int queue = QueuesToReset[^1];
        QueuesToReset.RemoveAt(QueuesToReset.Count - 1);
        Model!.QueueResetDone(queue);
    }
}

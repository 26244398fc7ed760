using VhostUser.Protocol;
using VhostXen.Linux;

namespace VhostUser.Session;

/// <content>The device's own state in a migration: it streams beside the session, and CHECK_DEVICE_STATE asks how it went.</content>
public sealed partial class BackendSession
{
    private CancellationTokenSource? _transferCancel;
    private Task? _transfer;

    private async Task SetDeviceStateFdAsync(DeviceStateTransfer asked)
    {
        try
        {
            StartTransfer(asked);
            await ReplyAsync(new UInt64Payload(DeviceStateTransfer.NoFdReturned)).ConfigureAwait(false);
        }
        catch (Exception e) when (e is RequestRefusedException or SystemCallException)
        {
            CountRefusal("SET_DEVICE_STATE_FD", e.Message);
            await ReplyAsync(new UInt64Payload(DeviceStateTransfer.NoFdReturned | 1)).ConfigureAwait(false);
        }
    }

    private void StartTransfer(DeviceStateTransfer asked)
    {
        if (AnyRingStarted)
            throw new RequestRefusedException("rings run");

        if (asked.Phase != DeviceStateTransfer.PhaseStopped || asked.Direction > DeviceStateDirection.Load)
            throw new RequestRefusedException($"direction {(uint)asked.Direction}, phase {asked.Phase}");

        if (_transfer is { IsCompleted: false })
            throw new RequestRefusedException("the previous transfer is under way");

        _transferCancel?.Dispose();
        _transferCancel = CancellationTokenSource.CreateLinkedTokenSource(_cancellation);
        bool save = asked.Direction == DeviceStateDirection.Save;
        FileDescriptor file = _message.Fds.Take();
        DescriptorStream stream;
        try
        {
            stream = new DescriptorStream(file, save, _transferCancel.Token);
        }
        catch
        {
            file.Dispose();
            throw;
        }

        // A thread of its own: the device reads and writes a plain stream, and the peer may be slow.
        _transfer = Task.Factory.StartNew(
            () =>
            {
                using (stream)
                {
                    if (save)
                        _device.SaveState(stream);
                    else
                        _device.LoadState(stream);
                }
            },
            CancellationToken.None,
            TaskCreationOptions.LongRunning,
            TaskScheduler.Default);
    }

    private async Task CheckDeviceStateAsync()
    {
        ulong status = 0;
        if (_transfer is not { } transfer)
        {
            CountRefusal("CHECK_DEVICE_STATE", "no transfer was started");
            status = 1;
        }
        else
        {
            try
            {
                await WhileConnectedAsync(transfer, () => _transferCancel!.Cancel()).ConfigureAwait(false);
            }
            catch (Exception e)
            {
                _logger.StateTransferFailed(Name, e.Message);
                status = 1;
            }

            _transfer = null;
        }

        await ReplyAsync(new UInt64Payload(status)).ConfigureAwait(false);
    }

    private async Task EndDeviceStateAsync()
    {
        if (_transferCancel is null)
            return;

        await _transferCancel.CancelAsync().ConfigureAwait(false);
        if (_transfer is not null)
            await _transfer.ContinueWith(static _ => { }, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default).ConfigureAwait(false);

        _transferCancel.Dispose();
    }
}

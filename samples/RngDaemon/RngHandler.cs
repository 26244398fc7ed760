using System.Security.Cryptography;
using VhostUser.Devices;

namespace RngDaemon;

/// <summary>What the device does with a request: fill its writable buffers.</summary>
internal sealed class RngHandler : QueueHandler
{
    private readonly byte[] _entropy = new byte[4096];

    public override void Process(VirtqueueRequest request)
    {
        // A guest may ask for gigabytes: it gets one page, and the driver asks again.
        int length = (int)Math.Min(request.WritableLength, (ulong)_entropy.Length);
        Span<byte> entropy = _entropy.AsSpan(0, length);
        RandomNumberGenerator.Fill(entropy);
        int written = request.CopyTo(0, entropy);
        request.Complete((uint)written);
    }
}

using System.Runtime.InteropServices;
using System.Text;
using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;

/// <summary>One READ over each way to xenstore.</summary>
internal static class StoreChecks
{
    public static void Run(Report report, LinuxXenKernel kernel)
    {
        report.Equal("xenstore-socket", "0", () => ReadDomid(kernel));
        report.Equal("xenstore-device", "0", () =>
        {
            Environment.SetEnvironmentVariable("XENSTORED_RUNDIR", "/nonexistent");
            return ReadDomid(kernel);
        });
    }

    private static string ReadDomid(LinuxXenKernel kernel)
    {
        using Stream store = kernel.OpenXenstore();
        byte[] request = new byte[Xenstore.HeaderSize + 6];
        MemoryMarshal.Write(request, new Xenstore.Header { Type = Xenstore.MessageType.Read, RequestId = 42, Length = 6 });
        "domid\0"u8.CopyTo(request.AsSpan(Xenstore.HeaderSize));
        store.Write(request);

        byte[] reply = new byte[Xenstore.HeaderSize];
        store.ReadExactly(reply);
        var header = MemoryMarshal.Read<Xenstore.Header>(reply);
        byte[] body = new byte[header.Length];
        store.ReadExactly(body);
        return header is { Type: Xenstore.MessageType.Read, RequestId: 42 } ? Encoding.ASCII.GetString(body) : $"{header.Type}: {Encoding.ASCII.GetString(body)}";
    }
}

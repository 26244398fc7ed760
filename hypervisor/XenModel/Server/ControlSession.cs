using System.Text;
using XenMemoryProvider.Kernel.Sockets;

namespace XenModel.Server;

/// <summary>Commands for a client.</summary>
internal sealed class ControlSession(ControlCommands commands, WireChannel channel, SharedObjects objects) : WireSession(channel, objects)
{
    private const int MaxLine = 1024;

    protected override bool Handle(WireOp op, Span<byte> body)
    {
        if (op != WireOp.Command || body.Length > MaxLine) return false;
        (int result, string text) = commands.Run(Encoding.UTF8.GetString(body));
        return Reply(result, Encoding.UTF8.GetBytes(text));
    }
}

using System.CommandLine;
using XenMemoryProvider.Kernel;
using XenMemoryProvider.Kernel.Sockets;

namespace XenModel.Server;

/// <summary>xenmodel control: says one line to a running server.</summary>
internal static class ControlCommand
{
    public static Command Create()
    {
        var socket = new Option<string>("--socket") { Description = "where the server listens", Required = true, HelpName = "PATH" };
        var words = new Argument<string[]>("command") { Description = "'help' names the commands: domains and faults", Arity = ArgumentArity.OneOrMore };
        var command = new Command("control", "Say a command to a running server: list, create, destroy, fail-page, page-out, ...") { socket, words };
        command.SetAction(parsed =>
        {
            try
            {
                Console.Out.WriteLine(new SocketXenKernel(parsed.GetRequiredValue(socket)).Command(string.Join(' ', parsed.GetRequiredValue(words))).TrimEnd('\n'));
                return 0;
            }
            catch (XenException refused)
            {
                Console.Error.WriteLine($"xenmodel: {refused.Message}");
                return 1;
            }
        });
        return command;
    }
}

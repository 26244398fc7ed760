using System.CommandLine;
using XenModel.Server;

var root = new RootCommand("A Xen in user space: domains, memory, grants, event channels, ioreq servers and xenstore without a hypervisor")
{
    ServeCommand.Create(),
    ControlCommand.Create(),
};
return await root.Parse(args).InvokeAsync(new InvocationConfiguration { ProcessTerminationTimeout = TimeSpan.FromSeconds(10) });

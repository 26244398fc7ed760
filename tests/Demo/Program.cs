using Demo.Embedded;
using Demo.Qemu;

switch (args)
{
    case []:
        return await EmbeddedDemo.RunAsync(DemoSize.Full);
    case ["--quick"]:
        return await EmbeddedDemo.RunAsync(DemoSize.Quick);
    case ["--qemu"]:
        return await QemuDemo.RunAsync();
    default:
        Console.Error.WriteLine("usage: demo [--quick | --qemu]");
        return 2;
}

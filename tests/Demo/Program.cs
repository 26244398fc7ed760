using Demo;

switch (args)
{
    case [] or ["--qemu"]:
        return await QemuDemo.RunAsync();
    default:
        Console.Error.WriteLine("usage: demo [--qemu]");
        return 2;
}

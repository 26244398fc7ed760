using GuestFio;
using GuestKit;

if (FioOptions.Parse(args) is not { } options)
{
    Console.Error.WriteLine(FioOptions.Usage);
    return 2;
}
try
{
    await Comparison.RunAsync(options, Console.Out);
    return 0;
}
catch (GuestRunException e)
{
    Console.Error.WriteLine(e.Message);
    return 1;
}

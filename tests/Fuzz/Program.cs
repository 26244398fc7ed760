// Two programs in one: the tests (xunit's options), and with --target the fuzzer. See README.md.
using Fuzz.Engine;
using Xunit.Runner.InProc.SystemConsole;

return args.Contains("--target") || args.Contains("--help-fuzz") ? FuzzProgram.Run(args) : await ConsoleRunner.Run(args);

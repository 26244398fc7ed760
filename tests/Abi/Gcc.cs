using System.Diagnostics;

namespace VhostXen.Abi.Tests;

/// <summary>Runs the C compiler on text.</summary>
internal static class Gcc
{
    private static readonly string[] Dialect =
        ["-std=gnu11", "-D_GNU_SOURCE", "-I", Path.Combine(AppContext.BaseDirectory, "include"), "-x", "c"];

    /// <summary>All declarations and macros that the includes bring.</summary>
    public static string Preprocess(string source)
    {
        (int exit, string output, string errors) = Run(source, [.. Dialect, "-E", "-dD", "-"]);
        return exit == 0 ? output : throw new InvalidOperationException(errors);
    }

    public static (int Exit, string Errors) Compile(string source)
    {
        (int exit, _, string errors) = Run(source, [.. Dialect, "-fsyntax-only", "-fmax-errors=0", "-"]);
        return (exit, errors);
    }

    /// <summary>Compiles and runs a program: for what no constant expression can say, such as bit-fields.</summary>
    public static string Execute(string source)
    {
        string binary = Path.GetTempFileName();
        try
        {
            (int exit, _, string errors) = Run(source, [.. Dialect, "-o", binary, "-"]);
            if (exit != 0)
                throw new InvalidOperationException(errors);
            return Start(binary, "", []).Output;
        }
        finally
        {
            File.Delete(binary);
        }
    }

    private static (int Exit, string Output, string Errors) Run(string source, string[] arguments) => Start("gcc", source, arguments);

    private static (int Exit, string Output, string Errors) Start(string file, string input, string[] arguments)
    {
        var start = new ProcessStartInfo(file, arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment["LC_ALL"] = "C";
        using Process process = Process.Start(start)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        Task<string> errors = process.StandardError.ReadToEndAsync();
        process.StandardInput.Write(input);
        process.StandardInput.Close();
        process.WaitForExit();
        return (process.ExitCode, output.Result, errors.Result);
    }
}

using System.Text.Json;
using Microsoft.Extensions.Configuration;

namespace Backends.Block.Options;

/// <summary>Reads an appsettings-style JSON file: { "LogLevel": "Information", "Devices": [ { "SocketPath": ..., ... } ] }.</summary>
internal static class ConfigurationFile
{
    private static readonly string[] DaemonKeys = [nameof(DaemonOptions.LogLevel), nameof(DaemonOptions.Xen), nameof(DaemonOptions.Devices)];

    private static readonly string[] DiskKeys =
    [
        nameof(DiskOptions.Name), nameof(DiskOptions.SocketPath), nameof(DiskOptions.Fd), nameof(DiskOptions.SocketName),
        nameof(DiskOptions.BlkFile), nameof(DiskOptions.Store), nameof(DiskOptions.ReadOnly), nameof(DiskOptions.NumQueues),
        nameof(DiskOptions.QueueSize), nameof(DiskOptions.Direct), nameof(DiskOptions.Cache), nameof(DiskOptions.Serial),
        nameof(DiskOptions.LogicalBlockSize), nameof(DiskOptions.Workers), nameof(DiskOptions.PollUs), nameof(DiskOptions.Lock),
        nameof(DiskOptions.IoUring), nameof(DiskOptions.SealedMemory),
    ];

    /// <exception cref="OptionsException">The file cannot be read or says something that makes no sense.</exception>
    public static DaemonOptions Load(string path)
    {
        IConfigurationRoot root = Read(path);
        CheckKeys(root, DaemonKeys, path, "");
        foreach (IConfigurationSection device in root.GetSection(nameof(DaemonOptions.Devices)).GetChildren())
            CheckKeys(device, DiskKeys, path, $" in {device.Path}");

        DaemonOptions options = Bind(root, path);
        if (options.Devices.Count == 0)
            throw new OptionsException($"{path}: Devices is empty or missing");

        for (int i = 0; i < options.Devices.Count; i++)
        {
            try
            {
                OptionRules.Check(options.Devices[i], static name => name);
            }
            catch (OptionsException e)
            {
                throw new OptionsException($"{path}: Devices:{i}: {e.Message}");
            }
        }

        CheckUnique(options, path);
        return options;
    }

    private static IConfigurationRoot Read(string path)
    {
        try
        {
            return new ConfigurationBuilder().AddJsonFile(Path.GetFullPath(path), optional: false, reloadOnChange: false).Build();
        }
        catch (FileNotFoundException)
        {
            throw new OptionsException($"{path} does not exist");
        }
        catch (InvalidDataException e)
        {
            // What the JSON reader said is wrapped twice; only it knows the line.
            Exception cause = e.GetBaseException() is JsonException or FormatException ? e.GetBaseException() : e;
            throw new OptionsException($"{path}: {FirstLine(cause.Message)}");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new OptionsException($"{path}: {FirstLine(e.Message)}");
        }
    }

    private static DaemonOptions Bind(IConfigurationRoot root, string path)
    {
        try
        {
            return root.Get<DaemonOptions>() ?? new DaemonOptions();
        }
        catch (InvalidOperationException e)
        {
            throw new OptionsException($"{path}: {FirstLine(e.Message)}");
        }
    }

    /// <summary>A key that nobody reads is a typing error that would otherwise show as a disk that does not do as told.</summary>
    private static void CheckKeys(IConfiguration section, string[] known, string path, string where)
    {
        foreach (IConfigurationSection child in section.GetChildren())
        {
            if (!known.Contains(child.Key, StringComparer.OrdinalIgnoreCase))
                throw new OptionsException($"{path}: unknown key '{child.Key}'{where}");
        }
    }

    private static void CheckUnique(DaemonOptions options, string path)
    {
        foreach (Func<DiskOptions, string?> key in (ReadOnlySpan<Func<DiskOptions, string?>>)[static disk => disk.SocketPath, static disk => disk.SocketName, static disk => disk.Name])
        {
            string? twice = options.Devices.Select(key).Where(static value => value is not null)
                .GroupBy(static value => value).FirstOrDefault(static group => group.Count() > 1)?.Key;
            if (twice is not null)
                throw new OptionsException($"{path}: '{twice}' is given for two devices");
        }
    }

    private static string FirstLine(string message) => message.Split('\n')[0].TrimEnd();
}

using Backends.Block.Options;
using Microsoft.Extensions.Logging;

namespace Backends.Block.Tests.Options;

public sealed class ConfigurationFileTests : IDisposable
{
    private readonly string _path = Path.Combine(AppContext.BaseDirectory, $"config-{Guid.NewGuid():n}.json");

    public void Dispose() => File.Delete(_path);

    [Fact]
    public void Load_SeveralDevices_ArriveWithEveryKey()
    {
        DaemonOptions options = Load("""
            {
              // Comments and trailing commas are fine.
              "LogLevel": "Debug",
              "Devices": [
                {
                  "Name": "root", "SocketPath": "/run/a.sock", "BlkFile": "a.img", "ReadOnly": true, "NumQueues": 4, "QueueSize": 256,
                  "Direct": true, "Cache": "writethrough", "Serial": "abc", "LogicalBlockSize": 4096, "Workers": 2, "PollUs": 50,
                  "Lock": false, "IoUring": false, "SealedMemory": true,
                },
                { "Fd": 7, "Store": "null:1G", "Serial": null },
                { "SocketName": "third", "blkfile": "c.img" },
              ],
            }
            """);
        Assert.Equal(LogLevel.Debug, options.LogLevel);
        Assert.Equal(3, options.Devices.Count);
        DiskOptions disk = options.Devices[0];
        Assert.Equal(("root", "/run/a.sock", "a.img", true, 4, 256), (disk.Name, disk.SocketPath, disk.BlkFile, disk.ReadOnly, disk.NumQueues, disk.QueueSize));
        Assert.Equal((true, "writethrough", "abc", 4096, 2), (disk.Direct, disk.Cache, disk.Serial, disk.LogicalBlockSize, disk.Workers));
        Assert.Equal((50, false, false), (disk.PollUs, disk.Lock, disk.IoUring));
        Assert.True(disk.SealedMemory);
        Assert.Equal((7, "null:1G", 16, true), (options.Devices[1].Fd, options.Devices[1].Store, options.Devices[1].NumQueues, options.Devices[1].Lock));
        Assert.Equal(("third", "c.img"), (options.Devices[2].SocketName, options.Devices[2].BlkFile));
    }

    public static TheoryData<string, string> Nonsense => new()
    {
        { "Devices is empty", "{}" },
        { "Devices is empty", """{ "Devices": [] }""" },
        { "LineNumber: 0", "{ nonsense" },
        { "unknown key 'Device'", """{ "Device": [] }""" },
        { "unknown key 'BlkFle' in Devices:1", """{ "Devices": [{ "SocketPath": "/a", "BlkFile": "a" }, { "SocketPath": "/b", "BlkFle": "b" }] }""" },
        { "Devices:0: BlkFile is missing", """{ "Devices": [{ "SocketPath": "/a" }] }""" },
        { "Devices:1: NumQueues must be from 1 to 1024", """{ "Devices": [{ "SocketPath": "/a", "BlkFile": "a" }, { "SocketPath": "/b", "BlkFile": "b", "NumQueues": 0 }] }""" },
        { "Devices:0:NumQueues", """{ "Devices": [{ "SocketPath": "/a", "BlkFile": "a", "NumQueues": "many" }] }""" },
        { "Devices:0:ReadOnly", """{ "Devices": [{ "SocketPath": "/a", "BlkFile": "a", "ReadOnly": "perhaps" }] }""" },
        { "LogLevel", """{ "LogLevel": "loud", "Devices": [{ "SocketPath": "/a", "BlkFile": "a" }] }""" },
        { "'/a' is given for two devices", """{ "Devices": [{ "SocketPath": "/a", "BlkFile": "a" }, { "SocketPath": "/a", "BlkFile": "b" }] }""" },
        { "SocketPath and SocketName exclude each other", """{ "Devices": [{ "SocketPath": "/a", "SocketName": "a", "BlkFile": "a" }] }""" },
    };

    [Theory]
    [MemberData(nameof(Nonsense))]
    public void Load_WhatMakesNoSense_IsOneLineWithTheFilesName(string expected, string json)
    {
        OptionsException e = Assert.Throws<OptionsException>(() => Load(json));
        Assert.StartsWith(_path, e.Message, StringComparison.Ordinal);
        Assert.Contains(expected, e.Message[_path.Length..], StringComparison.Ordinal);
        Assert.DoesNotContain('\n', e.Message);
    }

    private DaemonOptions Load(string json)
    {
        File.WriteAllText(_path, json);
        return ConfigurationFile.Load(_path);
    }
}

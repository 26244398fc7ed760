using System.Globalization;
using System.Text;
using XenMemoryProvider.Abi;
using XenModel.Domains;

namespace XenModel.Store;

/// <summary>What a toolstack writes into xenstore about a domain.</summary>
internal sealed class DomainNodes
{
    private readonly StoreServer _server;
    private readonly StoreClient _toolstack;

    public DomainNodes(StoreServer server)
    {
        _server = server;
        _toolstack = new StoreClient(0, privileged: true, static _ => { });
    }

    public void WriteDomain0()
    {
        Write("/tool/xenstored", "");
        Write("/local/domain/0/domid", "0");
        Write("/local/domain/0/name", "Domain-0");
        Grant("/local/domain/0", "n0");
    }

    public void Write(Domain domain)
    {
        string home = StorePath.Home(domain.Id);
        string vm = $"/vm/{Uuid(domain)}";
        Directory(home, domain.Id, writable: false);
        foreach (string name in new[] { "name", "domid", "vm", "memory", "store", "console", "cpu" }) Directory($"{home}/{name}", domain.Id, writable: false);
        foreach (string name in new[] { "control", "device", "data", "drivers", "feature", "attr", "error" }) Directory($"{home}/{name}", domain.Id, writable: true);
        Write($"{home}/name", domain.Name);
        Write($"{home}/domid", domain.Id);
        Write($"{home}/vm", vm);
        Write($"{home}/memory/static-max", (long)domain.Options.MemoryMiB * 1024);
        Write($"{home}/memory/target", (long)domain.Options.MemoryMiB * 1024);
        for (int vcpu = 0; vcpu < domain.Vcpus.Count; vcpu++) Write($"{home}/cpu/{vcpu}/availability", "online");
        if (domain.IsTranslated)
        {
            Write($"{home}/store/ring-ref", (long)domain.Params[HvmParam.StorePfn]);
            Write($"{home}/store/port", (long)domain.Params[HvmParam.StoreEvtchn]);
            Write($"{home}/console/ring-ref", (long)domain.Params[HvmParam.ConsolePfn]);
            Write($"{home}/console/port", (long)domain.Params[HvmParam.ConsoleEvtchn]);
        }

        Write($"{vm}/name", domain.Name);
        Write($"{vm}/uuid", Uuid(domain));
        Write($"/libxl/{domain.Id}/type", domain.Type switch { DomainType.HVM => "hvm", DomainType.PVH => "pvh", _ => "pv" });
    }

    public void Remove(Domain domain)
    {
        foreach (string path in new[] { StorePath.Home(domain.Id), $"/vm/{Uuid(domain)}", $"/libxl/{domain.Id}" })
            Call(Xenstore.MessageType.Rm, path + "\0");
    }

    // One number a domain, so that a run can be told by its log.
    private static string Uuid(Domain domain) => $"00000000-0000-4000-8000-{domain.Id:x12}";

    private void Directory(string path, ushort domid, bool writable)
    {
        Call(Xenstore.MessageType.Mkdir, path + "\0");
        Grant(path, writable ? [$"n{domid}"] : ["n0", $"r{domid}"]);
    }

    private void Grant(string path, params string[] permissions) => Call(Xenstore.MessageType.SetPerms, $"{path}\0{string.Join('\0', permissions)}\0");

    private void Write(string path, long value) => Write(path, value.ToString(CultureInfo.InvariantCulture));

    private void Write(string path, string value) => Call(Xenstore.MessageType.Write, $"{path}\0{value}");

    private void Call(Xenstore.MessageType type, string payload) =>
        _server.Handle(_toolstack, new Xenstore.Header { Type = type }, Encoding.Latin1.GetBytes(payload));
}

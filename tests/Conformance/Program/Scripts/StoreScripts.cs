using Type = XenMemoryProvider.Abi.Xenstore.MessageType;

namespace Conformance.Scripts;

/// <summary>xenstore as domain 0 sees it: nodes, names, watches, transactions.</summary>
internal static class StoreScripts
{
    private const string Root = "/conformance";

    public static IReadOnlyList<Script> All { get; } =
    [
        new("store.write-and-read", x =>
        {
            StoreWire store = Open(x);
            x.Step("WRITE /conformance/a/b", "OK", () => store.Write($"{Root}/a/b", "one"));
            x.Step("READ", "one", () => store.Read($"{Root}/a/b"));
            x.Step("READ of its parent, made with it", "", () => store.Read($"{Root}/a"));
            x.Step("WRITE nothing", "OK", () => store.Write($"{Root}/a/b", ""));
            x.Step("READ", "", () => store.Read($"{Root}/a/b"));
            x.Step("DIRECTORY of the parent", "b", () => store.List($"{Root}/a"));
            x.Step("DIRECTORY of a leaf", "", () => store.List($"{Root}/a/b"));
        }),
        new("store.not-there", x =>
        {
            StoreWire store = Open(x);
            x.Step("READ", "ENOENT", () => store.Read($"{Root}/nothing"));
            x.Step("DIRECTORY", "ENOENT", () => store.List($"{Root}/nothing"));
            x.Step("GET_PERMS", "ENOENT", () => store.Permissions($"{Root}/nothing"));
            x.Step("SET_PERMS", "ENOENT", () => store.SetPermissions($"{Root}/nothing", "n0"));
            x.Step("RM, with a parent", "OK", () => store.Remove($"{Root}/nothing"));
            x.Step("RM, without a parent", "ENOENT", () => store.Remove($"{Root}/nothing/below"));
        }),
        new("store.names", x =>
        {
            StoreWire store = Open(x);
            x.Step("an empty name", "EINVAL", () => store.Read(""));
            x.Step("a trailing slash", "EINVAL", () => store.Read($"{Root}/"));
            x.Step("two slashes", "EINVAL", () => store.Read($"{Root}//a"));
            x.Step("a space", "EINVAL", () => store.Read($"{Root}/a b"));
            x.Step("a dot", "EINVAL", () => store.Write($"{Root}/a.b", "x"));
            x.Step("the other characters", "OK", () => store.Write($"{Root}/aZ09-_@", "x"));
            x.Step("2048 characters", "ENOENT", () => store.Read(Root + "/" + new string('a', 2048 - Root.Length - 1)));
            x.Step("2049 characters", "EINVAL", () => store.Read(Root + "/" + new string('a', 2049 - Root.Length - 1)));
            x.Step("2048 characters below a domain's home", "ENOENT", () => store.Read("/local/domain/0/" + new string('a', 2048)));
            x.Step("2049 characters below a domain's home", "EINVAL", () => store.Read("/local/domain/0/" + new string('a', 2049)));
            x.Step("2049 characters, relative", "EINVAL", () => store.Read(new string('a', 2049)));
            x.Step("a relative name, of domain 0", "0", () => store.Read("domid"));
            x.Step("the root", "yes", () => store.List("/").Split(' ').Contains("local"));
        }, "Outside the homes of domains a path may have 2048 characters, not the 3072 of xs_wire.h."),
        new("store.malformed", x =>
        {
            StoreWire store = Open(x);
            x.Step("READ without an end", "ENOENT", () => store.Ask(Type.Read, Root));
            x.Step("READ of nothing", "ENOENT", () => store.Ask(Type.Read, ""));
            x.Step("READ of two strings", "ENOENT", () => store.Ask(Type.Read, $"{Root}\0{Root}\0"));
            x.Step("DIRECTORY without an end", "ENOENT", () => store.Ask(Type.Directory, Root));
            x.Step("GET_PERMS without an end", "ENOENT", () => store.Ask(Type.GetPerms, Root));
            x.Step("WRITE of one string", "EINVAL", () => store.Ask(Type.Write, Root));
            x.Step("WATCH of one string", "EINVAL", () => store.Ask(Type.Watch, Root + "\0"));
            x.Step("SET_PERMS of one string", "EINVAL", () => store.Ask(Type.SetPerms, Root + "\0"));
            x.Step("TRANSACTION_END with an X", "EINVAL", () => store.Ask(Type.TransactionEnd, "X\0", store.Begin()));
            x.Step("message type 20", "ENOSYS", () => store.Ask((Type)20, "\0"));
            x.Step("message type 99", "ENOSYS", () => store.Ask((Type)99, "\0"));
            x.Step("message type WATCH_EVENT", "ENOSYS", () => store.Ask(Type.WatchEvent, "\0"));
        }),
        new("store.mkdir", x =>
        {
            StoreWire store = Open(x);
            x.Step("MKDIR", "OK", () => store.Ask(Type.Mkdir, $"{Root}/d/e\0"));
            x.Step("again", "OK", () => store.Ask(Type.Mkdir, $"{Root}/d/e\0"));
            store.Write($"{Root}/d/e", "value");
            x.Step("MKDIR of a node with a value", "OK", () => store.Ask(Type.Mkdir, $"{Root}/d/e\0"));
            x.Step("READ", "value", () => store.Read($"{Root}/d/e"));
        }),
        new("store.remove", x =>
        {
            StoreWire store = Open(x);
            store.Write($"{Root}/a/b/c", "1");
            x.Step("RM of a node with children", "OK", () => store.Remove($"{Root}/a"));
            x.Step("READ of one of them", "ENOENT", () => store.Read($"{Root}/a/b/c"));
            x.Step("RM /", "EINVAL", () => store.Remove("/"));
        }),
        new("store.directory-part", x =>
        {
            StoreWire store = Open(x);
            store.Write($"{Root}/p/a", "");
            store.Write($"{Root}/p/b", "");
            string Part(int offset)
            {
                string answer = store.Ask(Type.DirectoryPart, $"{Root}/p\0{offset}\0");
                int end = answer.IndexOf(' ', StringComparison.Ordinal);
                return end < 0 ? answer : answer[(end + 1)..];
            }

            x.Step("DIRECTORY_PART(0) after the generation", "a b ", () => Part(0));
            x.Step("DIRECTORY_PART(2)", "b ", () => Part(2));
            x.Step("DIRECTORY_PART(4), past the end", "", () => Part(4));
            x.Step("DIRECTORY_PART of nothing", "ENOENT", () => Part1(store));
        }),
        new("store.list-of-more-than-a-message", x =>
        {
            StoreWire store = Open(x);
            string name = new('n', 200);
            for (int i = 0; i < 25; i++) store.Write($"{Root}/l/{name}{i}", "");
            x.Step("DIRECTORY of 25 names of 202 characters", "E2BIG", () => store.List($"{Root}/l"));
        }),
        new("store.permissions", x =>
        {
            StoreWire store = Open(x);
            store.Write($"{Root}/p", "");
            x.Step("GET_PERMS of a new node", "n0", () => store.Permissions($"{Root}/p"));
            x.Step("SET_PERMS r0 b0", "OK", () => store.SetPermissions($"{Root}/p", "r0", "b0"));
            x.Step("GET_PERMS", "r0 b0", () => store.Permissions($"{Root}/p"));
            store.Write($"{Root}/p/child", "");
            x.Step("a child has them too", "r0 b0", () => store.Permissions($"{Root}/p/child"));
            x.Step("SET_PERMS x0", "EINVAL", () => store.SetPermissions($"{Root}/p", "x0"));
            x.Step("SET_PERMS r", "EINVAL", () => store.SetPermissions($"{Root}/p", "r"));
            x.Step("SET_PERMS with an owner that is not", "ENOENT", () => store.SetPermissions($"{Root}/p", "n999"));
        }),
        new("watch.begins-with-an-event", x =>
        {
            StoreWire store = Open(x);
            x.Step("WATCH", "OK", () => store.Watch($"{Root}/w", "t"));
            x.Step("events", "/conformance/w t", store.Events);
            x.Step("WATCH again", "EEXIST", () => store.Watch($"{Root}/w", "t"));
            x.Step("WATCH with another token", "OK", () => store.Watch($"{Root}/w", "u"));
            x.Step("events", "/conformance/w u", store.Events);
            x.Step("UNWATCH", "OK", () => store.Unwatch($"{Root}/w", "t"));
            x.Step("UNWATCH again", "ENOENT", () => store.Unwatch($"{Root}/w", "t"));
        }),
        new("watch.whole-subtree", x =>
        {
            StoreWire store = Open(x), other = Open(x);
            store.Write($"{Root}/w", "");
            store.Watch($"{Root}/w", "t");
            store.Events();
            other.Write($"{Root}/w/a/b", "1");
            x.Step("another writes below", "/conformance/w/a/b t", store.Events);
            other.Write($"{Root}/w2", "1");
            x.Step("beside it", "none", store.Events);
            store.Write($"{Root}/w", "2");
            x.Step("oneself writes it", "/conformance/w t", store.Events);
            other.SetPermissions($"{Root}/w/a", "r0");
            x.Step("another changes permissions", "/conformance/w/a t", store.Events);
            other.Read($"{Root}/w");
            x.Step("another reads", "none", store.Events);
            other.Ask(Type.Mkdir, $"{Root}/w/a\0");
            x.Step("MKDIR of what is there", "none", store.Events);
        }),
        new("watch.removal", x =>
        {
            StoreWire store = Open(x);
            store.Write($"{Root}/w/a/b", "");
            store.Watch($"{Root}/w/a", "t");
            store.Events();
            store.Remove($"{Root}/w/a/b");
            x.Step("RM below", "/conformance/w/a/b t", store.Events);
            store.Write($"{Root}/w/a/c", "");
            store.Events();
            store.Remove($"{Root}/w/a");
            x.Step("RM of it", "/conformance/w/a t", store.Events);
            store.Write($"{Root}/w/a/c", "");
            store.Events();
            store.Remove($"{Root}/w");
            x.Step("RM of its parent", "/conformance/w/a t", store.Events);
            store.Remove($"{Root}/w");
            x.Step("RM of what is not there", "none", store.Events);
        }),
        new("watch.relative", x =>
        {
            StoreWire store = Open(x);
            x.Defer(() => store.Remove("conformance"));
            x.Step("WATCH of a relative path", "OK", () => store.Watch("conformance", "t"));
            x.Step("events", "conformance t", store.Events);
            store.Write("/local/domain/0/conformance/a", "");
            x.Step("an absolute path is written", "conformance/a t", store.Events);
        }),
        new("watch.special", x =>
        {
            StoreWire store = Open(x);
            x.Step("WATCH @introduceDomain", "OK", () => store.Watch("@introduceDomain", "i"));
            x.Step("WATCH @releaseDomain", "OK", () => store.Watch("@releaseDomain", "r"));
            x.Step("events", "@introduceDomain i, @releaseDomain r", store.Events);
            ushort victim = x.Machine.CreateVictim();
            x.Step("a domain is created: @introduceDomain comes", "yes", () => Eventually(store, "@introduceDomain i"));
            x.Machine.Destroy(victim);
            x.Step("it is destroyed: @releaseDomain comes", "yes", () => Eventually(store, "@releaseDomain r"));
            x.Step("WATCH @nothing", "OK", () => store.Watch("@nothing", "n"));
        }),
        new("transaction.is-its-own-world", x =>
        {
            StoreWire store = Open(x), other = Open(x);
            uint transaction = store.Begin();
            x.Step("WRITE in it", "OK", () => store.Write($"{Root}/t", "in", transaction));
            x.Step("READ in it", "in", () => store.Read($"{Root}/t", transaction));
            x.Step("READ outside", "ENOENT", () => other.Read($"{Root}/t"));
            x.Step("TRANSACTION_END(T)", "OK", () => store.End(transaction));
            x.Step("READ outside", "in", () => other.Read($"{Root}/t"));
        }),
        new("transaction.given-up", x =>
        {
            StoreWire store = Open(x);
            uint transaction = store.Begin();
            store.Write($"{Root}/t", "in", transaction);
            x.Step("TRANSACTION_END(F)", "OK", () => store.End(transaction, commit: false));
            x.Step("READ", "ENOENT", () => store.Read($"{Root}/t"));
            x.Step("TRANSACTION_END again", "ENOENT", () => store.End(transaction));
        }),
        new("transaction.conflict", x =>
        {
            StoreWire store = Open(x), other = Open(x);
            store.Write($"{Root}/t", "0");
            uint transaction = store.Begin();
            x.Step("READ in it", "0", () => store.Read($"{Root}/t", transaction));
            store.Write($"{Root}/u", "in", transaction);
            other.Write($"{Root}/t", "1");
            x.Step("TRANSACTION_END(T) after another wrote what it read", "EAGAIN", () => store.End(transaction));
            x.Step("READ of what it wrote", "ENOENT", () => store.Read($"{Root}/u"));
        }),
        new("transaction.no-conflict", x =>
        {
            StoreWire store = Open(x), other = Open(x);
            store.Write($"{Root}/t", "0");
            store.Write($"{Root}/u", "0");
            uint transaction = store.Begin();
            store.Write($"{Root}/t", "1", transaction);
            other.Write($"{Root}/u", "1");
            x.Step("TRANSACTION_END(T) after another wrote something else", "OK", () => store.End(transaction));
        }),
        new("transaction.unknown", x =>
        {
            StoreWire store = Open(x), other = Open(x);
            x.Step("READ in transaction 4711", "ENOENT", () => store.Read("/", 4711));
            uint transaction = store.Begin();
            x.Step("READ in another connection's transaction", "ENOENT", () => other.Read("/", transaction));
            x.Step("TRANSACTION_START in a transaction", "EBUSY", () => store.Ask(Type.TransactionStart, "\0", transaction));
            x.Step("TRANSACTION_END outside", "ENOENT", () => store.Ask(Type.TransactionEnd, "T\0"));
        }),
        new("transaction.watches-wait", x =>
        {
            StoreWire store = Open(x), other = Open(x);
            other.Watch($"{Root}/t", "t");
            other.Events();
            uint transaction = store.Begin();
            store.Write($"{Root}/t/a", "1", transaction);
            x.Step("events before the end", "none", other.Events);
            x.Step("TRANSACTION_END(T)", "OK", () => store.End(transaction));
            x.Step("events after it", "/conformance/t/a t", other.Events);
        }),
        new("store.domains", x =>
        {
            StoreWire store = Open(x);
            x.Step("GET_DOMAIN_PATH 5", "/local/domain/5", () => store.Ask(Type.GetDomainPath, "5\0"));
            x.Step("GET_DOMAIN_PATH of a word", "/local/domain/0", () => store.Ask(Type.GetDomainPath, "five\0"));
            x.Step("IS_DOMAIN_INTRODUCED of a guest", "T", () => store.Ask(Type.IsDomainIntroduced, $"{x.Pvh}\0"));
            x.Step("IS_DOMAIN_INTRODUCED 999", "F", () => store.Ask(Type.IsDomainIntroduced, "999\0"));
            x.Step("RELEASE 999", "ENOENT", () => store.Ask(Type.Release, "999\0"));
            x.Step("RELEASE 0", "EINVAL", () => store.Ask(Type.Release, "0\0"));
            x.Step("RESUME 999", "ENOENT", () => store.Ask(Type.Resume, "999\0"));
            x.Step("SET_TARGET 999 998", "ENOENT", () => store.Ask(Type.SetTarget, "999\0998\0"));
        }),
    ];

    private static StoreWire Open(Run x)
    {
        StoreWire store = x.Own(new StoreWire(x.Machine.Kernel.OpenXenstore()));
        x.Defer(() => store.Remove(Root));
        store.Ask(Type.Mkdir, Root + "\0");
        return store;
    }

    private static string Part1(StoreWire store) => store.Ask(Type.DirectoryPart, $"{Root}/nothing\0" + "0\0");

    private static bool Eventually(StoreWire store, string awaited) => Run.Eventually(() => store.Events().Text.Contains(awaited, StringComparison.Ordinal) ? 1 : 0, 1) == 1;
}

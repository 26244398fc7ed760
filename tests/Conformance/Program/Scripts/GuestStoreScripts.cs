using Type = XenMemoryProvider.Abi.Xenstore.MessageType;

namespace Conformance.Scripts;

/// <summary>xenstore as a guest sees it: whose nodes are whose, and how much of everything it may have.</summary>
internal static class GuestStoreScripts
{
    public static IReadOnlyList<Script> All { get; } =
    [
        new("guest-store.own-home", x =>
        {
            StoreWire guest = Open(x);
            x.Step("READ domid", $"{"its own"}", () => guest.Read("domid") == $"{x.Agent.Domid}" ? "its own" : "another");
            x.Step("WRITE domid, the toolstack's", "EACCES", () => guest.Write("domid", "7"));
            x.Step("WRITE data/a", "OK", () => guest.Write("data/a", "1"));
            x.Step("READ", "1", () => guest.Read("data/a"));
            x.Step("the owner of what it made", "yes", () => guest.Permissions("data/a") == $"n{x.Agent.Domid}");
        }),
        new("guest-store.others'-nodes", x =>
        {
            StoreWire guest = Open(x), host = x.Own(new StoreWire(x.Machine.Kernel.OpenXenstore()));
            host.Write("/conformance/secret", "1");
            x.Defer(() => host.Remove("/conformance"));
            x.Step("READ of domain 0's node", "EACCES", () => guest.Read("/conformance/secret"));
            x.Step("WRITE of it", "EACCES", () => guest.Write("/conformance/secret", "2"));
            x.Step("READ of what is not there, below it", "EACCES", () => guest.Read("/conformance/secret/none"));
            host.SetPermissions("/conformance/secret", "n0", $"r{x.Agent.Domid}");
            x.Step("READ once it may", "1", () => guest.Read("/conformance/secret"));
            x.Step("WRITE still", "EACCES", () => guest.Write("/conformance/secret", "2"));
            x.Step("READ of what is not there, below it", "ENOENT", () => guest.Read("/conformance/secret/none"));
            host.SetPermissions("/conformance/secret", "n0", $"b{x.Agent.Domid}");
            x.Step("WRITE once it may", "OK", () => guest.Write("/conformance/secret", "3"));
            x.Step("SET_PERMS of a node it does not own", "EACCES", () => guest.SetPermissions("/conformance/secret", $"n{x.Agent.Domid}"));
            host.SetPermissions("/conformance/secret", "r0");
            x.Step("READ of a node that everybody may read", "3", () => guest.Read("/conformance/secret"));
        }),
        new("guest-store.permissions-of-its-own", x =>
        {
            StoreWire guest = Open(x);
            guest.Write("data/a", "1");
            x.Step("SET_PERMS: domain 0 may read", "OK", () => guest.SetPermissions("data/a", $"n{x.Agent.Domid}", "r0"));
            x.Step("SET_PERMS: domain 0 is the owner", "EPERM", () => guest.SetPermissions("data/a", "n0"));
            string[] six = [$"n{x.Agent.Domid}", "r0", "r0", "r0", "r0", "r0"];
            x.Step("SET_PERMS with 5 entries", "OK", () => guest.SetPermissions("data/a", six[..5]));
            x.Step("SET_PERMS with 6 entries", "ENOSPC", () => guest.SetPermissions("data/a", six));
        }),
        new("guest-store.privileged-requests", x =>
        {
            StoreWire guest = Open(x);
            x.Step("INTRODUCE", "EACCES", () => guest.Ask(Type.Introduce, "5\01\01\0"));
            x.Step("RELEASE", "EACCES", () => guest.Ask(Type.Release, "5\0"));
            x.Step("RESUME", "EACCES", () => guest.Ask(Type.Resume, "5\0"));
            x.Step("SET_TARGET", "EACCES", () => guest.Ask(Type.SetTarget, "5\06\0"));
            x.Step("IS_DOMAIN_INTRODUCED", "EACCES", () => guest.Ask(Type.IsDomainIntroduced, "5\0"));
            x.Step("CONTROL", "EACCES", () => guest.Ask(Type.Control, "help\0"));
        }),
        new("guest-store.special-watches", x =>
        {
            StoreWire guest = Open(x);
            x.Step("WATCH @introduceDomain", "OK", () => guest.Watch("@introduceDomain", "t"));
            x.Step("events", "@introduceDomain t", guest.Events);
            x.Machine.Destroy(x.Machine.CreateVictim());
            x.Step("a domain is created: events", "none", guest.Events);
        }, "A guest may watch for domains, but hears of none."),
        new("guest-store.size-of-a-node", x =>
        {
            StoreWire guest = Open(x);
            x.Step("WRITE of 2015 bytes", "OK", () => guest.Write("data/a", new string('v', 2015)));
            x.Step("WRITE of 2016 bytes", "ENOSPC", () => guest.Write("data/a", new string('v', 2016)));
            x.Step("WRITE of a new node of 2016 bytes", "ENOSPC", () => guest.Write("data/b", new string('v', 2016)));
            x.Step("another permission takes 8 bytes: SET_PERMS", "ENOSPC", () => guest.SetPermissions("data/a", $"n{x.Agent.Domid}", "r0"));
        }, "A node of less than 2048 bytes: 24, 8 for each permission, the value, and the names of its children."),
        new("guest-store.children-of-a-node", x =>
        {
            StoreWire guest = Open(x);
            string last = "OK";
            int made = 0;
            for (; made < 1001 && last == "OK"; made++) last = guest.Write($"data/n{made}", "");
            x.Step("WRITE of new nodes until it is refused", "ENOSPC", () => last);
            x.Step("how many there were", "425", () => made - 1);
        }),
        new("guest-store.number-of-watches", x =>
        {
            StoreWire guest = Open(x);
            int made = 0;
            string last = "OK";
            for (; made < 140 && last == "OK"; made++) last = guest.Watch("data", $"t{made}");
            x.Step("WATCH until it is refused", "E2BIG", () => last);
            x.Step("how many there were", "129", () => made - 1);
            x.Step("RESET_WATCHES", "OK", () => guest.Ask(Type.ResetWatches, "\0"));
            x.Step("WATCH", "OK", () => guest.Watch("data", "t"));
        }, "The limits of watches and transactions are 128 and 10; the daemon of 4.17 refuses the one after the next."),
        new("guest-store.number-of-transactions", x =>
        {
            StoreWire guest = Open(x);
            int open = 0;
            string last = "";
            for (; open < 20; open++)
            {
                last = guest.Ask(Type.TransactionStart, "\0");
                if (last.StartsWith('E')) break;
            }

            x.Step("TRANSACTION_START until it is refused", "ENOSPC", () => last);
            x.Step("how many there were", "11", () => open);
            x.Step("RESET_WATCHES ends them", "OK", () => guest.Ask(Type.ResetWatches, "\0"));
            x.Step("TRANSACTION_START", "yes", () => guest.Begin() > 0);
        }),
        new("guest-store.number-of-nodes", x =>
        {
            StoreWire guest = Open(x);
            string last = "OK";
            int made = 0;
            for (; made < 1001 && last == "OK"; made++) last = guest.Write($"data/d{made / 100}/n{made % 100}", "");
            x.Step("WRITE of new nodes until it is refused", "ENOSPC", () => last);
            x.Step("after more than 900", "yes", () => made > 900);
            x.Step("WRITE of one that is there", "OK", () => guest.Write("data/d0/n0", "more"));
        }),
    ];

    // Both ends forget what earlier scripts left.
    private static StoreWire Open(Run x)
    {
        StoreWire guest = x.Own(new StoreWire(x.Machine.OpenGuestStore()));
        guest.Ask(Type.ResetWatches, "\0");
        x.Defer(() =>
        {
            guest.Ask(Type.ResetWatches, "\0");
            foreach (string name in guest.List("data").Split(' ', StringSplitOptions.RemoveEmptyEntries)) guest.Remove($"data/{name}");
        });
        return guest;
    }
}

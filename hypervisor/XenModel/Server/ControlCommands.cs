using System.Collections.Concurrent;
using System.Globalization;
using System.Text;
using XenMemoryProvider.Abi;
using XenModel.Domains;
using XenModel.Guests;

namespace XenModel.Server;

/// <summary>What an operator may say to a running server, one line at a time: domains, guests and faults by name.</summary>
internal sealed class ControlCommands(Hypervisor hypervisor)
{
    public const string Help =
        """
        list                                      domains and their state
        create name=N[,memory=MiB][,vcpus=N][,type=pvh|hvm|pv][,paused=yes|no]
        pause NAME | unpause NAME | destroy NAME
        shutdown NAME [poweroff|reboot|suspend|crash]
        run NAME [KEY=VALUE,...]                  the domain's program: a synthetic guest that uses its disk and checks it
                                                  (seed, requests, skip, queues, depth, resets, grants=yes|no, base, irq, slot)
        report NAME [MILLISECONDS]                what the guest did; answers when it ends, or after that time
        fail-page NAME NTH [ERRNO]                of the pages mapped from now on, the nth fails once (EINVAL)
        page-out NAME FIRST-GFN COUNT [REQUESTS]  gives pages to the pager; back after so many requests (3)
        delay-event NAME PORT [COUNT]             holds the next events for a port of a domain
        release-event NAME PORT                   delivers what is held
        kill-domain NAME                          destroys it in the middle of whatever it does
        help
        """;

    private readonly ConcurrentDictionary<string, DiskGuest> _guests = new();

    /// <summary>Runs a line.</summary>
    /// <returns>0 and what to show, or a negative errno and why.</returns>
    public (int Result, string Text) Run(string line)
    {
        try
        {
            return (0, Execute(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)));
        }
        catch (Exception refused) when (refused is FormatException or InvalidOperationException or OverflowException)
        {
            return (-(int)XenErrno.EINVAL, refused.Message);
        }
    }

    private string Execute(string[] words)
    {
        if (words.Length == 0) throw new FormatException("say a command; 'help' names them");
        switch (words[0])
        {
            case "help":
                return Help;
            case "list":
                return List();
            case "create":
                Domain created = hypervisor.CreateDomain(DomainText.Parse(Word(words, 1, "the domain's options")));
                return $"domain {created.Id} created";
            case "pause":
                Named(words).Pause();
                return "paused";
            case "unpause":
                Named(words).Unpause();
                return "unpaused";
            case "destroy" or "kill-domain":
                return hypervisor.Faults.KillDomain(Named(words).Id) ? "destroyed" : throw new InvalidOperationException("it cannot be destroyed");
            case "shutdown":
                Named(words).ShutDown(words.Length > 2 ? Reason(words[2]) : ShutdownReason.Poweroff);
                return "shut down";
            case "run":
                Domain domain = Named(words);
                _guests[domain.Name] = DiskGuest.Start(domain, DiskGuestOptions.Parse(words.Length > 2 ? words[2] : ""));
                return "started";
            case "report":
                return Report(words);
            default:
                return Fault(words);
        }
    }

    private string Fault(string[] words)
    {
        switch (words[0])
        {
            case "fail-page":
                XenErrno error = words.Length > 3 ? Errno(words[3]) : XenErrno.EINVAL;
                hypervisor.Faults.FailPage(Named(words).Id, Number(words, 2, "which page"), (int)error);
                return "armed";
            case "page-out":
                int requests = words.Length > 4 ? Number(words, 4, "requests") : 3;
                int done = hypervisor.Faults.PageOut(Named(words).Id, (ulong)Number(words, 2, "the first frame"), Number(words, 3, "how many"), requests);
                return $"{done} pages out";
            case "delay-event":
                hypervisor.Faults.DelayEvents(Named(words).Id, (uint)Number(words, 2, "the port"), words.Length > 3 ? Number(words, 3, "how many") : 1);
                return "armed";
            case "release-event":
                return hypervisor.Faults.ReleaseEvents(Named(words).Id, (uint)Number(words, 2, "the port")) ? "delivered" : "nothing was held";
            default:
                throw new FormatException($"no command '{words[0]}'; 'help' names them");
        }
    }

    // A guest can be asked also when its domain is gone.
    private string Report(string[] words)
    {
        if (!_guests.TryGetValue(Word(words, 1, "a domain's name"), out DiskGuest? guest)) throw new InvalidOperationException($"no guest was started in '{words[1]}'");
        if (words.Length > 2) guest.Wait(TimeSpan.FromMilliseconds(Number(words, 2, "milliseconds")));
        return guest.Describe();
    }

    private string List()
    {
        var text = new StringBuilder();
        foreach (Domain domain in hypervisor.Domains)
        {
            string state = domain.IsDying ? "dying" : domain.Shutdown is { } reason ? $"stopped ({reason.ToString().ToLowerInvariant()})" : domain.IsPaused ? "paused" : "running";
            text.Append(CultureInfo.InvariantCulture, $"{domain.Id,5} {domain.Name,-16} {domain.Type.ToString().ToLowerInvariant(),-4} {domain.Vcpus.Count,3} vcpus {domain.RamPages / 256,6} MiB {domain.IoreqServers.Count,2} ioreq servers  {state}\n");
        }

        return text.ToString();
    }

    private Domain Named(string[] words)
    {
        string name = Word(words, 1, "a domain");
        Domain? domain = ushort.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out ushort id) ? hypervisor.Find(id) : hypervisor.Find(name);
        return domain ?? throw new InvalidOperationException($"no domain '{name}'");
    }

    private static string Word(string[] words, int index, string what) =>
        index < words.Length ? words[index] : throw new FormatException($"'{words[0]}' wants {what}");

    private static int Number(string[] words, int index, string what)
    {
        string word = Word(words, index, what);
        bool hex = word.StartsWith("0x", StringComparison.OrdinalIgnoreCase);
        return int.TryParse(hex ? word.AsSpan(2) : word, hex ? NumberStyles.AllowHexSpecifier : NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number >= 0
            ? number
            : throw new FormatException($"'{word}' is no number for {what}");
    }

    private static XenErrno Errno(string word) =>
        word.StartsWith('E') && Enum.TryParse(word, out XenErrno error) ? error : throw new FormatException($"'{word}' is no errno's name");

    private static ShutdownReason Reason(string word) =>
        Enum.TryParse(word, ignoreCase: true, out ShutdownReason reason) && !char.IsAsciiDigit(word[0]) ? reason : throw new FormatException($"'{word}' is no reason to shut down");
}

using System.Text;
using System.Text.RegularExpressions;
using Microsoft.Extensions.Options;

namespace Backends.Block.Options;

/// <summary>Runs the rules and says what is wrong in the operator's words.</summary>
internal static partial class OptionRules
{
    /// <param name="disk">What to check.</param>
    /// <param name="nameOf">How the operator wrote a property: "NumQueues" to "--num-queues".</param>
    /// <exception cref="OptionsException">The first rule that is broken.</exception>
    public static void Check(DiskOptions disk, Func<string, string> nameOf)
    {
        ValidateOptionsResult result = new DiskOptionsValidator().Validate("disk", disk);
        if (!result.Failed)
            return;

        string first = Range().Replace(Prefix().Replace(result.Failures.First(), ""), "{$1} must be from $2 to $3");
        throw new OptionsException(Placeholder().Replace(first, match => nameOf(match.Groups[1].Value)));
    }

    /// <summary>"NumQueues" to "--num-queues".</summary>
    public static string ToOption(string property)
    {
        StringBuilder option = new("-");
        foreach (char c in property)
        {
            if (char.IsUpper(c))
                option.Append('-');

            option.Append(char.ToLowerInvariant(c));
        }

        return option.ToString();
    }

    [GeneratedRegex("^(Property )?[A-Za-z]+: ")]
    private static partial Regex Prefix();

    // The generated range check has a text of its own and no way to another.
    [GeneratedRegex(@"The field disk\.(\w+) must be between (-?\d+) and (\d+)\.")]
    private static partial Regex Range();

    [GeneratedRegex(@"\{([A-Z][A-Za-z]+)\}")]
    private static partial Regex Placeholder();
}

using System.Text;

namespace VhostUser.Protocol;

/// <summary>Messages by the names of the specification, for logs and errors.</summary>
internal static class RequestNames
{
    private static readonly Dictionary<FrontendRequest, string> Frontend = Build<FrontendRequest>();
    private static readonly Dictionary<BackendRequest, string> Backend = Build<BackendRequest>();

    /// <summary>"SET_MEM_TABLE", or "message 99".</summary>
    public static string NameOf(FrontendRequest request) => Frontend.TryGetValue(request, out string? name) ? name : $"message {(uint)request}";

    /// <inheritdoc cref="NameOf(FrontendRequest)"/>
    public static string NameOf(BackendRequest request) => Backend.TryGetValue(request, out string? name) ? name : $"back-end message {(uint)request}";

    private static Dictionary<TEnum, string> Build<TEnum>()
        where TEnum : struct, Enum
        => Enum.GetValues<TEnum>().ToDictionary(static value => value, static value => Screaming(value.ToString()));

    private static string Screaming(string name)
    {
        var text = new StringBuilder();
        foreach (char c in name)
        {
            if (char.IsUpper(c) && text.Length > 0)
                text.Append('_');

            text.Append(char.ToUpperInvariant(c));
        }

        return text.ToString();
    }
}

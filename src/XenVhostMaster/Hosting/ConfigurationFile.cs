using System.Text.Json;
using XenVhostMaster.Domains;

namespace XenVhostMaster.Hosting;

/// <summary>Reads { "Guests": [ { "Domain": "vm1", "Devices": [ "block,socket=/run/vm1.sock" ] } ] }.</summary>
internal static class ConfigurationFile
{
    /// <exception cref="OptionsException">The file cannot be read or says something that makes no sense.</exception>
    public static IReadOnlyList<GuestOptions> Load(string path)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(
                File.ReadAllBytes(path), new JsonDocumentOptions { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true });
            List<GuestOptions> guests = [.. Member(document.RootElement, "Guests", JsonValueKind.Array).EnumerateArray().Select(Guest)];
            if (guests.Count == 0)
                throw new OptionsException("Guests is empty");

            return guests.DistinctBy(static guest => guest.Domain).Count() == guests.Count
                ? guests
                : throw new OptionsException("two guests have the same Domain");
        }
        catch (JsonException e)
        {
            throw new OptionsException($"{path}: {e.Message}");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new OptionsException(e.Message);
        }
        catch (OptionsException e)
        {
            throw new OptionsException($"{path}: {e.Message}");
        }
    }

    private static GuestOptions Guest(JsonElement element)
    {
        string domain = Member(element, "Domain", JsonValueKind.String).GetString()!;
        List<DeviceOptions> devices = [];
        foreach (JsonElement device in Member(element, "Devices", JsonValueKind.Array).EnumerateArray())
            devices.Add(DeviceText.Parse(device.ValueKind == JsonValueKind.String ? device.GetString()! : throw new OptionsException($"{domain}: a device is a text such as \"block,socket=PATH\"")));

        if (domain.Length == 0 || devices.Count == 0)
            throw new OptionsException("a guest needs a Domain and at least one of Devices");

        CommandLine.CheckUnique(devices);
        return new GuestOptions { Domain = domain, Devices = devices };
    }

    private static JsonElement Member(JsonElement element, string name, JsonValueKind kind)
        => element.ValueKind == JsonValueKind.Object && element.TryGetProperty(name, out JsonElement member) && member.ValueKind == kind
            ? member
            : throw new OptionsException($"{name} is missing or no {kind.ToString().ToLowerInvariant()}");
}

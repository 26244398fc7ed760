using VhostXen.Linux;
using XenMemoryProvider.Abi;

namespace Conformance;

/// <summary>What one step gave, as text: a number, an errno's or a grant status's name, yes or no.</summary>
internal readonly record struct Outcome(string Text)
{
    /// <summary>0 or more, or a negative errno.</summary>
    public static implicit operator Outcome(int result) => new(result < 0 ? LibC.errno_name(-result) : $"{result}");

    public static implicit operator Outcome(uint value) => new($"{value}");

    public static implicit operator Outcome(ulong value) => new($"0x{value:x}");

    public static implicit operator Outcome(bool value) => new(value ? "yes" : "no");

    public static implicit operator Outcome(GrantStatus status) => new(status switch
    {
        GrantStatus.Okay => "okay",
        GrantStatus.GeneralError => "general_error",
        GrantStatus.BadDomain => "bad_domain",
        GrantStatus.BadGntref => "bad_gntref",
        GrantStatus.BadHandle => "bad_handle",
        GrantStatus.BadVirtAddr => "bad_virt_addr",
        GrantStatus.BadDevAddr => "bad_dev_addr",
        GrantStatus.NoDeviceSpace => "no_device_space",
        GrantStatus.PermissionDenied => "permission_denied",
        GrantStatus.BadPage => "bad_page",
        GrantStatus.BadCopyArg => "bad_copy_arg",
        GrantStatus.AddressTooBig => "address_too_big",
        GrantStatus.Eagain => "eagain",
        GrantStatus.NoSpace => "no_space",
        _ => $"status {(short)status}",
    });

    public static implicit operator Outcome(string text) => new(text);

    public override string ToString() => Text;
}

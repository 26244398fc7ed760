using System.Runtime.InteropServices;

namespace VhostXen.Linux;

/// <summary>The part of struct ifreq that tap devices and simple queries use.</summary>
[CStruct(header: "net/if.h")]
[StructLayout(LayoutKind.Explicit, Size = 40)]
public unsafe struct ifreq
{
    /// <summary>NUL-terminated.</summary>
    [FieldOffset(0)] public fixed byte ifr_name[16];
    [FieldOffset(16)] public short ifr_flags;
    [FieldOffset(16)] public int ifr_ifindex;
    [FieldOffset(16)] public int ifr_mtu;
}

[CHeader("net/if.h")]
[CHeader("linux/if_tun.h")]
public static unsafe partial class LibC
{
    public const int IFNAMSIZ = 16;
    public const short IFF_UP = 0x1;
    public const short IFF_TAP = 0x2;
    public const short IFF_MULTI_QUEUE = 0x100;
    public const short IFF_NO_PI = 0x1000;
    public const short IFF_VNET_HDR = 0x4000;
    public const nuint TUNSETIFF = 0x400454ca;
    public const nuint TUNSETPERSIST = 0x400454cb;
    public const nuint TUNGETFEATURES = 0x800454cf;
    public const nuint TUNSETOFFLOAD = 0x400454d0;
    public const nuint TUNGETIFF = 0x800454d2;
    public const nuint TUNSETVNETHDRSZ = 0x400454d8;
    public const nuint TUNSETQUEUE = 0x400454d9;
    public const nuint TUNSETVNETLE = 0x400454dc;
    public const uint TUN_F_CSUM = 0x1;
    public const uint TUN_F_TSO4 = 0x2;
    public const uint TUN_F_TSO6 = 0x4;
    public const uint TUN_F_TSO_ECN = 0x8;
    public const uint TUN_F_UFO = 0x10;
    [CConstant(header: "sys/ioctl.h")]
    public const nuint SIOCGIFFLAGS = 0x8913;
    [CConstant(header: "sys/ioctl.h")]
    public const nuint SIOCSIFFLAGS = 0x8914;
    [CConstant(header: "sys/ioctl.h")]
    public const nuint SIOCGIFMTU = 0x8921;
    [CConstant(header: "sys/ioctl.h")]
    public const nuint SIOCGIFINDEX = 0x8933;
}

namespace VhostXen.Linux;

[CStruct(header: "sys/un.h")]
public unsafe struct sockaddr_un
{
    public ushort sun_family;
    public fixed byte sun_path[108];
}

[CHeader("sys/un.h")]
public static unsafe partial class LibC
{
}

using VhostUser.Protocol;
using VhostXen.Linux;

namespace VhostUser.Session;

/// <summary>A memory region that a front-end shares, with its descriptor: a memfd, or /dev/xen/privcmd or gntdev under XEN_MMAP. The caller keeps the descriptor.</summary>
public readonly record struct FrontendRegion(MemoryRegion Region, FileDescriptor File);

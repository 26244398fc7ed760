using System.Runtime.InteropServices;

namespace VhostXen.Linux;

[CHeader("sys/mman.h")]
public static unsafe partial class LibC
{
    public const int PROT_NONE = 0;
    public const int PROT_READ = 1;
    public const int PROT_WRITE = 2;
    public const int PROT_EXEC = 4;
    public const int MAP_SHARED = 0x1;
    public const int MAP_PRIVATE = 0x2;
    public const int MAP_FIXED = 0x10;
    public const int MAP_ANONYMOUS = 0x20;
    public const int MAP_LOCKED = 0x2000;
    public const int MAP_NORESERVE = 0x4000;
    public const int MAP_POPULATE = 0x8000;
    public const int MAP_HUGETLB = 0x40000;
    public const int MAP_FIXED_NOREPLACE = 0x100000;
    public const int MREMAP_MAYMOVE = 1;
    public const int MREMAP_FIXED = 2;
    public const int MADV_WILLNEED = 3;
    public const int MADV_DONTNEED = 4;
    public const int MADV_REMOVE = 9;
    public const int MADV_DONTFORK = 10;
    public const int MADV_HUGEPAGE = 14;
    public const int MADV_NOHUGEPAGE = 15;
    public const int MADV_DONTDUMP = 16;
    public const int MADV_POPULATE_READ = 22;
    public const int MADV_POPULATE_WRITE = 23;
    public const uint MFD_CLOEXEC = 1;
    public const uint MFD_ALLOW_SEALING = 2;
    public const uint MFD_HUGETLB = 4;

    /// <summary>What mmap returns when it fails.</summary>
    [CConstant("(long)MAP_FAILED")]
    public const long MAP_FAILED = -1;

    /// <remarks>The result (void*)-1 is MAP_FAILED.</remarks>
    [LibraryImport(libc, SetLastError = true)]
    public static partial void* mmap(void* address, nuint length, int prot, int flags, int fd, long offset);

    [LibraryImport(libc, SetLastError = true)]
    public static partial int munmap(void* address, nuint length);

    /// <remarks>Variadic in C. Integer and pointer arguments of a variadic function travel like fixed ones in the ABIs of x86-64 and Arm64 Linux.</remarks>
    [LibraryImport(libc, SetLastError = true)]
    public static partial void* mremap(void* oldAddress, nuint oldLength, nuint newLength, int flags, void* newAddress);

    [LibraryImport(libc, SetLastError = true)]
    public static partial int mprotect(void* address, nuint length, int prot);

    [LibraryImport(libc, SetLastError = true)]
    public static partial int madvise(void* address, nuint length, int advice);

    [LibraryImport(libc, SetLastError = true)]
    public static partial int mlock(void* address, nuint length);

    [LibraryImport(libc, SetLastError = true)]
    public static partial int munlock(void* address, nuint length);

    [LibraryImport(libc, SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int memfd_create(string name, uint flags);
}

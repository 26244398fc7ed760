using XenModel.Domains;

namespace XenModel.Tests;

/// <summary>Tests that reach the model through IXenKernel run twice: in this process, and over the socket.</summary>
public abstract class KernelTests(bool overSocket)
{
    internal ModelFixture New(DomainType type = DomainType.PVH, int vcpus = 1, HypervisorOptions? options = null, int memoryMiB = 4) =>
        new(type, vcpus, options, memoryMiB, overSocket);
}

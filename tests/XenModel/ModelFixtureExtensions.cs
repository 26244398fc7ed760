using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;

namespace XenModel.Tests;

internal static class ModelFixtureExtensions
{
    public static int Privcmd_GetParam(this ModelFixture model, HvmParam index, out ulong value) => model.Privcmd.GetHvmParam(model.Domid, index, out value);

    public static int Privcmd_SetParam(this ModelFixture model, HvmParam index, ulong value) => model.Privcmd.SetHvmParam(model.Domid, index, value);
}

namespace Backends.Block.Options;

internal enum StoreKind
{
    File,
    Memory,
    Null,
}

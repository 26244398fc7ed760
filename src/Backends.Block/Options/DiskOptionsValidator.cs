using Microsoft.Extensions.Options;

namespace Backends.Block.Options;

/// <summary>Checks the data annotations without reflection; the body is generated.</summary>
[OptionsValidator]
internal sealed partial class DiskOptionsValidator : IValidateOptions<DiskOptions>;

namespace Conformance;

/// <summary>A piece of a guest's or a device model's life, and what Xen answers at each step.</summary>
/// <param name="Name">room.what-happens.</param>
/// <param name="Body">Takes the steps. Runs on any machine.</param>
/// <param name="Note">What a reader of the table should know; mostly where Xen differs from its documentation.</param>
internal sealed record Script(string Name, Action<Run> Body, string? Note = null)
{
    /// <summary>Every script, in the order of the table.</summary>
    public static IReadOnlyList<Script> All { get; } =
    [
        .. Scripts.DeviceModelScripts.All,
        .. Scripts.IoreqServerScripts.All,
        .. Scripts.RangeScripts.All,
        .. Scripts.DeviceMemoryScripts.All,
        .. Scripts.ResourceScripts.All,
        .. Scripts.ForeignScripts.All,
        .. Scripts.MemoryScripts.All,
        .. Scripts.ParamScripts.All,
        .. Scripts.EventScripts.All,
        .. Scripts.GrantScripts.All,
        .. Scripts.GrantCopyScripts.All,
        .. Scripts.GrantV2Scripts.All,
        .. Scripts.GuestEventScripts.All,
        .. Scripts.AccessScripts.All,
        .. Scripts.RestrictScripts.All,
        .. Scripts.StoreScripts.All,
        .. Scripts.GuestStoreScripts.All,
    ];

    /// <summary>Runs it once.</summary>
    /// <returns>Its steps, as far as it came.</returns>
    public IReadOnlyList<Step> RunOn(Machine machine)
    {
        using var run = new Run(machine);
        try
        {
            Body(run);
        }
        catch (Exception e)
        {
            run.Broke(e);
        }

        return run.Steps;
    }
}

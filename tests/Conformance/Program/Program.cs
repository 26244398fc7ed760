using System.Globalization;
using Conformance;
using Conformance.Machines;

// conformance [--xen PVH HVM GUEST-CONFIG] [--table FILE] [--only PREFIX]: runs the scripts on the model and, in a domain 0 with
// two paused guests and xl's configuration of more,, on Xen. Prints a RESULT line per script; exit code 0 when every answer was the expected one.
string? Option(string name, int offset = 1)
{
    int index = Array.IndexOf(args, name);
    return index >= 0 && index + offset < args.Length ? args[index + offset] : null;
}

using XenMachine? xen = Option("--xen") is null
    ? null
    : new XenMachine(
        ushort.Parse(Option("--xen")!, CultureInfo.InvariantCulture),
        ushort.Parse(Option("--xen", 2)!, CultureInfo.InvariantCulture),
        Option("--xen", 3)!);
string prefix = Option("--only") ?? "";
List<Row> rows = [];
foreach (Script script in Script.All.Where(script => script.Name.StartsWith(prefix, StringComparison.Ordinal)))
{
    using var model = new ModelMachine();
    IReadOnlyList<Step> onModel = script.RunOn(model);
    IReadOnlyList<Step> onXen = xen is null ? onModel : script.RunOn(xen);
    rows.Add(new Row(script, onModel, onXen));
    bool right = onModel.Concat(onXen).All(step => step.IsAsExpected) && onModel.Count == onXen.Count;
    string detail = string.Join("; ", onXen.Select((step, index) =>
        $"{step.What} -> {step.Expected}" + (index < onModel.Count && step.IsAsExpected && onModel[index].IsAsExpected
            ? "" : $" (model {(index < onModel.Count ? onModel[index].Actual : "-")}, Xen {step.Actual})")));
    Console.WriteLine($"RESULT {script.Name} {(right ? "ok" : "FAIL")} {detail}");
}

if (Option("--table") is { } file) File.WriteAllText(file, Table.Build(rows, xen?.Title ?? "model"));
return rows.All(row => row.Model.Concat(row.Xen).All(step => step.IsAsExpected)) ? 0 : 1;

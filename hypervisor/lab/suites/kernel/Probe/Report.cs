/// <summary>Prints what the lab's runner counts.</summary>
internal sealed class Report
{
    public int Failures { get; private set; }

    /// <summary>An exception is a failure of this check and of no other.</summary>
    public void Check(string name, Func<(bool Ok, string Detail)> check)
    {
        (bool ok, string detail) result;
        try
        {
            result = check();
        }
        catch (Exception e)
        {
            result = (false, $"{e.GetType().Name}: {e.Message}");
        }
        if (!result.ok) Failures++;
        Console.WriteLine($"RESULT {name} {(result.ok ? "ok" : "FAIL")} {result.detail}");
    }

    public void Equal<T>(string name, T expected, Func<T> actual) =>
        Check(name, () => actual() is var value && EqualityComparer<T>.Default.Equals(value, expected)
            ? (true, $"{value}") : (false, $"{value}, expected {expected}"));
}

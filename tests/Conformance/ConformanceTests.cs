using Conformance.Machines;
using Xunit;

namespace Conformance.Tests;

public sealed class ConformanceTests
{
    public static TheoryData<string> Names => [.. Script.All.Select(script => script.Name)];

    [Theory]
    [MemberData(nameof(Names))]
    public void Model_Script_AnswersAsXenDoes(string name)
    {
        using var model = new ModelMachine();
        IReadOnlyList<Step> steps = Script.All.Single(script => script.Name == name).RunOn(model);
        Assert.Equal(steps.Select(step => $"{step.What} -> {step.Expected}"), steps.Select(step => $"{step.What} -> {step.Actual}"));
        Assert.NotEmpty(steps);
    }

    [Fact]
    public void Scripts_Names_AreUnique() => Assert.Distinct(Script.All.Select(script => script.Name));
}

using System.Globalization;

namespace XenVhostMaster.Tests.Transports;

/// <summary>VHOSTXEN_FUZZ_SEED and VHOSTXEN_FUZZ_COUNT choose another guest and how long it goes on.</summary>
public class RegisterFuzzTests(ITestOutputHelper output)
{
    private static long Setting(string name, long otherwise)
        => long.TryParse(Environment.GetEnvironmentVariable(name), CultureInfo.InvariantCulture, out long value) ? value : otherwise;

    [Fact]
    public void Registers_HitTenMillionTimesAtRandom_StayWithinTheirBounds()
    {
        int seed = (int)Setting("VHOSTXEN_FUZZ_SEED", 5);
        long count = Setting("VHOSTXEN_FUZZ_COUNT", 10_000_000);
        var fuzz = new RegisterFuzz(seed);
        fuzz.Run(count);
        output.WriteLine($"seed {seed}: {count} accesses, {fuzz.Starts} starts, {fuzz.Resets} resets, {fuzz.Kicks} kicks, {fuzz.Messages} interrupts");

        // A fuzzer that never gets a device running has tested nothing.
        if (count >= 1_000_000)
            Assert.True(fuzz.Starts > 100 && fuzz.Resets > 100 && fuzz.Kicks > 100 && fuzz.Messages > 100);
    }
}

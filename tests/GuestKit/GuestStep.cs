namespace GuestKit;

/// <summary>One step of a job as the guest reported it.</summary>
public readonly record struct GuestStep(string Name, bool Succeeded, int ExitCode, TimeSpan Duration);

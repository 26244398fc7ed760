namespace Fuzz.Engine;

/// <summary>
/// Something that is fed hostile input. One object runs input after input, and what it keeps between them must not tell:
/// the same bytes do the same again. It checks for itself that what was accepted is right.
/// </summary>
internal abstract class FuzzTarget : IDisposable
{
    /// <summary>Largest input worth making.</summary>
    public virtual int MaxLength => 512;

    /// <summary>Hostile acts so far, where an input is many of them: what --count counts.</summary>
    public virtual long Acts => 0;

    /// <summary>More that is worth telling in the end.</summary>
    public virtual string Account => "";

    /// <summary>Runs one input.</summary>
    /// <param name="input">What the hostile side does.</param>
    /// <param name="seen">Gets every distinct thing that happened: what leads somewhere new is kept.</param>
    /// <exception cref="Exception">A finding, whatever it is.</exception>
    public abstract void Run(FuzzInput input, Behaviour seen);

    /// <summary>When all inputs have run: a look at what they left.</summary>
    /// <exception cref="Exception">A finding.</exception>
    public virtual void Finish()
    {
    }

    public abstract void Dispose();
}

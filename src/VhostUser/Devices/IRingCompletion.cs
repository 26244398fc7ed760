namespace VhostUser.Devices;

/// <summary>Something that submitted an operation to the worker's io_uring and waits for its result.</summary>
public interface IRingCompletion
{
    /// <summary>The operation ended, on the worker's thread.</summary>
    /// <param name="result">What the system call would have returned: a count, or a negative errno.</param>
    void OnCompletion(int result);
}

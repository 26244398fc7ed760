using Xunit;

// Two tests lower the process's limit of descriptors; everything else would fail meanwhile.
[assembly: CollectionBehavior(DisableTestParallelization = true)]

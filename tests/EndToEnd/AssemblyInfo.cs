using Xunit;

// A guest keeps every processor of a small machine busy: one at a time.
[assembly: CollectionBehavior(DisableTestParallelization = true)]

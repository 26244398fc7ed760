namespace Conformance;

/// <summary>One script's steps on both machines.</summary>
internal readonly record struct Row(Script Script, IReadOnlyList<Step> Model, IReadOnlyList<Step> Xen);

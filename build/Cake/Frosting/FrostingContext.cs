using Cake.Core;

namespace Cake.Frosting;

/// <summary>What tasks and lifetimes share; one instance per run.</summary>
public interface IFrostingContext : ICakeContext;

/// <summary>The context a build derives its own from.</summary>
public class FrostingContext(ICakeContext context) : CakeContextAdapter(context), IFrostingContext;

namespace Rollout;

/// <summary>
/// Stands before every effect and every journal write: returns while this run may act, throws where it may not, because the lock was lost or was
/// never taken (invariant 6). Modules that change something are given one; none of them knows where it comes from.
/// </summary>
/// <exception cref="RolloutException">Exit code 5: this run may not act.</exception>
public delegate Task Fence(CancellationToken cancellationToken);

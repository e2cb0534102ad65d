using Cake.Frosting;

namespace Rollout.Playbook;

/// <summary>Ends chapter 1.</summary>
[TaskDescription("Stage: preparation, 1.1 to 1.4")]
[IsDependentOn(typeof(StageConfig))]
public sealed class Prepare : FrostingTask<RolloutContext>;

/// <summary>Ends chapter 2.</summary>
[TaskDescription("Stage: deploy the green stack, 2.1 to 2.5, after Prepare")]
[IsDependentOn(typeof(SmokeTest))]
public sealed class Deploy : FrostingTask<RolloutContext>;

/// <summary>Ends chapter 3.</summary>
[TaskDescription("Stage: traffic switch, 3.1 to 3.4, after Deploy")]
[IsDependentOn(typeof(ReenableTrading))]
public sealed class Switch : FrostingTask<RolloutContext>;

/// <summary>Ends chapter 4.</summary>
[TaskDescription("Stage: post-deployment verification, 4.1 to 4.3, after Switch")]
[IsDependentOn(typeof(ArchiveArtefacts))]
public sealed class Verify : FrostingTask<RolloutContext>;

/// <summary>Chapter 5; depends on nothing that it takes back.</summary>
[TaskDescription("Stage: rollback, 5.1 to 5.4, from any state")]
[IsDependentOn(typeof(InvestigateFailure))]
public sealed class Rollback : FrostingTask<RolloutContext>;

/// <summary>Chapters 1 to 4.</summary>
[TaskName("Rollout")]
[TaskDescription("Everything that goes forward: Verify with all before it")]
[IsDependentOn(typeof(Verify))]
public sealed class WholeRollout : FrostingTask<RolloutContext>;

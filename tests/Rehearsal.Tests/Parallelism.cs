// Most tests wait for something most of the time, so a few more of them than a small machine has cores run at once. They share no state
// but what their fixture makes in its one-time set-up; a whole world (RehearsalWorldTests) runs alone.
[assembly: Parallelizable(ParallelScope.Fixtures)]
[assembly: LevelOfParallelism(4)]

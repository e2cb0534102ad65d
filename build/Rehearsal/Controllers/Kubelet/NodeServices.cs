namespace Rehearsal.Controllers;

/// <summary>What all pods of the node share.</summary>
/// <param name="Directory">Holds <c>pods/UID</c>, which go with their pods, and the claims, which stay.</param>
/// <param name="Shutdown">The world stops: containers end, but their pods stay in the store, to be started again.</param>
internal sealed record NodeServices(
    ControllerContext Context,
    Func<string, ContainerImage?> Images,
    string Directory,
    PodAddresses Addresses,
    ProbeActions Probes,
    CancellationToken Shutdown)
{
    public PodVolumes VolumesOf(string uid) => new(Context.Store, Path.Combine(Directory, "pods", uid), Directory, Context.Node);
}

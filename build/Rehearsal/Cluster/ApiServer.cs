namespace Rehearsal.Cluster;

public sealed class ApiServer;

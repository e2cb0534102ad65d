using System.Text.Json.Nodes;

namespace Rehearsal.Controllers;

/// <summary>One of the three states of a container, as <c>containerStatuses[].state</c> has them.</summary>
internal abstract record ContainerState
{
    private ContainerState()
    {
    }

    public abstract JsonObject ToJson();

    public sealed record Waiting(string Reason, string? Message = null) : ContainerState
    {
        public override JsonObject ToJson()
        {
            var waiting = new JsonObject { ["reason"] = Reason };
            if (Message is not null)
            {
                waiting["message"] = Message;
            }

            return new JsonObject { ["waiting"] = waiting };
        }
    }

    public sealed record Running(DateTimeOffset Since) : ContainerState
    {
        public override JsonObject ToJson() => new() { ["running"] = new JsonObject { ["startedAt"] = Since.Stamp() } };
    }

    public sealed record Terminated(
        int ExitCode, string Reason, string? Message, DateTimeOffset? Since, DateTimeOffset? Until, string? ContainerId)
        : ContainerState
    {
        public override JsonObject ToJson()
        {
            var terminated = new JsonObject { ["exitCode"] = ExitCode, ["reason"] = Reason };
            if (Message is not null)
            {
                terminated["message"] = Message;
            }

            terminated["startedAt"] = Since?.Stamp();
            terminated["finishedAt"] = Until?.Stamp();
            if (ContainerId is not null)
            {
                terminated["containerID"] = ContainerId;
            }

            return new JsonObject { ["terminated"] = terminated };
        }
    }
}

/// <summary>A container at one moment.</summary>
/// <param name="Over">Ended, and not to be started again.</param>
internal sealed record ContainerSnapshot(
    string Name,
    string Image,
    string ImageId,
    string? ContainerId,
    ContainerState State,
    JsonObject LastState,
    int Restarts,
    bool Started,
    bool Ready,
    bool Over)
{
    public bool Succeeded => Over && State is ContainerState.Terminated { ExitCode: 0 };

    public JsonObject ToJson()
    {
        var status = new JsonObject
        {
            ["name"] = Name,
            ["state"] = State.ToJson(),
            ["lastState"] = LastState.DeepClone(),
            ["ready"] = Ready,
            ["restartCount"] = Restarts,
            ["image"] = Image,
            ["imageID"] = ImageId,
        };
        if (ContainerId is not null)
        {
            status["containerID"] = ContainerId;
        }

        status["started"] = Started;
        return status;
    }
}

namespace Rehearsal.World;

/// <summary>What every piece of one world shares.</summary>
/// <param name="Directory">Where state is kept, so that it survives a restart; must exist.</param>
/// <param name="Ports">The world's port book; each piece has its own name in it.</param>
/// <param name="Fault">Asks whether a misbehaviour is on: name to argument, null when off (see <see cref="Faults.Argument"/>).</param>
/// <param name="Time">The clock of delays, time stamps and limits.</param>
public sealed record Place(string Directory, KeptPorts Ports, Func<string, string?> Fault, TimeProvider Time)
{
    /// <summary>Told the name of an effect that took place (see <see cref="Effects"/>).</summary>
    public Action<string> Effect { get; init; } = _ => { };
}

namespace Rehearsal;

/// <summary>A world could not be made for a reason that a person can do something about; the message says which.</summary>
public sealed class RehearsalException : Exception
{
    public RehearsalException()
    {
    }

    public RehearsalException(string message)
        : base(message)
    {
    }

    public RehearsalException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}

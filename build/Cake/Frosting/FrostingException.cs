namespace Cake.Frosting;

/// <summary>A build is put together wrongly: a task or a dependency is not what it has to be.</summary>
public sealed class FrostingException : Exception
{
    public FrostingException(string message)
        : base(message)
    {
    }

    public FrostingException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}

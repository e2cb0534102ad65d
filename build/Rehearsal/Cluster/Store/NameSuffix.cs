namespace Rehearsal.Cluster;

/// <summary>The five characters after a generateName.</summary>
public static class NameSuffix
{
    private const string Alphabet = "bcdfghjklmnpqrstvwxz2456789";

    public static string Next() => string.Create(5, 0, (target, _) =>
    {
        for (var i = 0; i < target.Length; i++)
        {
            target[i] = Alphabet[Random.Shared.Next(Alphabet.Length)];
        }
    });
}

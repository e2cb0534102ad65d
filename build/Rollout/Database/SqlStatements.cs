using System.Text.RegularExpressions;

namespace Rollout.Database;

/// <summary>
/// A script as single statements, as PostgreSQL's grammar ends them. A split that is wrong is found by the server, which takes one statement a message.
/// </summary>
internal static partial class SqlStatements
{
    // What begins, ends or leaves a transaction is not the script's to say here.
    private static readonly string[] TransactionWords = ["begin", "start", "commit", "end"];
    private static readonly string[] ForbiddenWords = ["rollback", "abort", "savepoint", "release", "prepare", "copy", "vacuum"];

    /// <summary>What acts outside the transaction, so that nothing could take it back; null where the text says none of it.</summary>
    public static string? OutsideWordIn(string text) => Outside().Match(text) is { Success: true } match ? match.Groups["word"].Value.ToLowerInvariant() : null;

    // COPY between the server's own files or programs and a table, inside a block of code; a COPY of its own is refused anyway.
    [GeneratedRegex(
        @"(?<word>dblink|pg_background|track_counts|setval|lo_export|pg_file_write|pg_file_unlink|pg_(terminate|cancel)_backend|pg_reload_conf|pg_rotate_logfile|pg_switch_wal|\bcopy\b(?=[^;]*\b(to|from)\s*('|program\b)))",
        RegexOptions.IgnoreCase)]
    private static partial Regex Outside();

    /// <summary>The statements without those that only open or close a transaction.</summary>
    /// <exception cref="FormatException">A string, a quoted name, a comment or a dollar quote has no end; or a statement cannot be tried.</exception>
    public static IReadOnlyList<string> Split(string script)
    {
        var statements = new List<string>();
        var (begin, words, parentheses) = (0, false, 0);
        var body = new RoutineBody();
        for (var i = 0; i <= script.Length; i++)
        {
            if (i == script.Length || (script[i] == ';' && parentheses == 0 && !body.IsOpen))
            {
                if (words)
                {
                    Add(statements, script[begin..i].Trim());
                }

                (begin, words, parentheses, body) = (i + 1, false, 0, new RoutineBody());
                continue;
            }

            var end = EndOfQuote(script, i);
            if (end > i)
            {
                words |= script[i] is not ('-' or '/');
                i = end - 1;
                continue;
            }

            // A rule's actions stand in parentheses.
            parentheses = Math.Max(0, parentheses + (script[i] switch { '(' => 1, ')' => -1, _ => 0 }));
            words |= !char.IsWhiteSpace(script[i]);
            if (IsNameCharacter(script[i]))
            {
                var word = i;
                while (i + 1 < script.Length && IsNameCharacter(script[i + 1]))
                {
                    i++;
                }

                body.Read(script[word..(i + 1)].ToUpperInvariant());
            }
        }

        return statements;
    }

    // The body of CREATE FUNCTION in the standard's own words has semicolons, and is over where each BEGIN and CASE in it has its END.
    private sealed class RoutineBody
    {
        private bool _creates;
        private bool _isRoutine;
        private string _before = string.Empty;
        private int _depth;

        public bool IsOpen => _depth > 0;

        public void Read(string word)
        {
            _creates |= _before.Length == 0 && word == "CREATE";
            _isRoutine |= _creates && word is "FUNCTION" or "PROCEDURE";
            _depth += word switch
            {
                "ATOMIC" when _isRoutine && _before == "BEGIN" => 1,
                "BEGIN" or "CASE" when _depth > 0 => 1,
                "END" when _depth > 0 => -1,
                _ => 0,
            };
            _before = word;
        }
    }

    private static void Add(List<string> statements, string statement)
    {
        var word = FirstWord(statement);
        if (ForbiddenWords.Contains(word))
        {
            throw new FormatException($"it says {word.ToUpperInvariant()}, which cannot be tried");
        }

        if (word == "commit" && statement.Contains("prepared", StringComparison.OrdinalIgnoreCase))
        {
            throw new FormatException("it says COMMIT PREPARED, which no rolled back transaction takes back");
        }

        if (word.Length == 0)
        {
            throw new FormatException($"'{(statement.Length > 40 ? statement[..40] + "…" : statement)}' is no statement of PostgreSQL's language (psql's own commands are not)");
        }

        if (!TransactionWords.Contains(word))
        {
            statements.Add(statement);
        }
    }

    private static string FirstWord(string statement)
    {
        var i = 0;
        while (i < statement.Length && (char.IsWhiteSpace(statement[i]) || statement[i] is '-' or '/'))
        {
            i = char.IsWhiteSpace(statement[i]) ? i + 1 : Math.Max(EndOfQuote(statement, i), i + 1);
        }

        return new string([.. statement.Skip(i).TakeWhile(char.IsAsciiLetter)]).ToLowerInvariant();
    }

    /// <summary>Where what begins here and hides semicolons ends; the same place where nothing begins.</summary>
    private static int EndOfQuote(string text, int at) => text[at] switch
    {
        '\'' => at > 0 && text[at - 1] is 'e' or 'E' && (at < 2 || !IsNameCharacter(text[at - 2])) ? EndOfEscaped(text, at) : After(text, at + 1, "'", "a string"),
        '"' => After(text, at + 1, "\"", "a quoted name"),
        '-' when Follows(text, at, "--") => text.IndexOf('\n', at) is var end && end < 0 ? text.Length : end + 1,
        '/' when Follows(text, at, "/*") => EndOfComment(text, at),
        '$' when at == 0 || !IsNameCharacter(text[at - 1]) => EndOfDollars(text, at),
        _ => at,
    };

    private static int After(string text, int from, string mark, string what) =>
        text.IndexOf(mark, from, StringComparison.Ordinal) is var end && end < 0 ? throw new FormatException($"{what} has no end") : end + mark.Length;

    private static int EndOfEscaped(string text, int at)
    {
        for (var i = at + 1; i < text.Length; i++)
        {
            if (text[i] == '\\')
            {
                i++;
            }
            else if (text[i] == '\'')
            {
                return i + 1;
            }
        }

        throw new FormatException("a string has no end");
    }

    // Comments nest.
    private static int EndOfComment(string text, int at)
    {
        var depth = 0;
        for (var i = at; i < text.Length - 1; i++)
        {
            if (Follows(text, i, "/*"))
            {
                depth++;
                i++;
            }
            else if (Follows(text, i, "*/"))
            {
                i++;
                if (--depth == 0)
                {
                    return i + 1;
                }
            }
        }

        throw new FormatException("a comment has no end");
    }

    private static int EndOfDollars(string text, int at)
    {
        var tag = at + 1;
        while (tag < text.Length && (char.IsAsciiLetterOrDigit(text[tag]) || text[tag] == '_') && !(tag == at + 1 && char.IsAsciiDigit(text[tag])))
        {
            tag++;
        }

        return tag < text.Length && text[tag] == '$' ? After(text, tag + 1, text[at..(tag + 1)], "a dollar quote") : at;
    }

    private static bool Follows(string text, int at, string mark) => string.CompareOrdinal(text, at, mark, 0, mark.Length) == 0;

    private static bool IsNameCharacter(char c) => char.IsLetterOrDigit(c) || c is '_' or '$';
}

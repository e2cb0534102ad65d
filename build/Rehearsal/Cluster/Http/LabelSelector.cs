using System.Globalization;
using System.Text.Json.Nodes;

namespace Rehearsal.Cluster;

/// <summary>A label selector in its query form: <c>a=b,c!=d,e in (f,g),h,!i</c>; all clauses have to hold.</summary>
public sealed class LabelSelector
{
    private readonly List<Clause> _clauses;

    private LabelSelector(List<Clause> clauses) => _clauses = clauses;

    private enum Operator
    {
        Exists,
        Missing,
        In,
        NotIn,
        Greater,
        Less,
    }

    public bool IsEmpty => _clauses.Count == 0;

    /// <exception cref="ApiException">400 with the real server's words when the text is no selector.</exception>
    public static LabelSelector Parse(string text)
    {
        try
        {
            return Read(text);
        }
        catch (FormatException wrong)
        {
            throw ApiException.BadRequest(wrong.Message);
        }
    }

    private static LabelSelector Read(string text)
    {
        var lexer = new Lexer(text);
        var clauses = new List<Clause>();
        while (lexer.Peek() is { Length: > 0 })
        {
            clauses.Add(ReadClause(lexer));
            switch (lexer.Next())
            {
                case "":
                    return new LabelSelector(clauses);
                case ",":
                    if (lexer.Peek().Length == 0)
                    {
                        throw new FormatException("found '', expected: identifier after ','");
                    }

                    break;
                case var other:
                    throw new FormatException($"found '{other}', expected: ',' or 'end of string'");
            }
        }

        return new LabelSelector(clauses);
    }

    public bool Matches(JsonObject value)
    {
        if (_clauses.Count == 0)
        {
            return true;
        }

        var labels = value.At("metadata", "labels");
        return _clauses.All(clause => clause.Matches(labels.Text(clause.Key)));
    }

    private static Clause ReadClause(Lexer lexer)
    {
        var first = lexer.Next();
        if (first == "!")
        {
            return new Clause(Key(lexer.Next()), Operator.Missing, []);
        }

        var key = Key(first);
        switch (lexer.Peek())
        {
            case "" or ",":
                return new Clause(key, Operator.Exists, []);
            case "=" or "==":
                lexer.Next();
                return new Clause(key, Operator.In, [Value(lexer)]);
            case "!=":
                lexer.Next();
                return new Clause(key, Operator.NotIn, [Value(lexer)]);
            case "in":
                lexer.Next();
                return new Clause(key, Operator.In, Values(lexer));
            case "notin":
                lexer.Next();
                return new Clause(key, Operator.NotIn, Values(lexer));
            case ">" or "gt":
                lexer.Next();
                return new Clause(key, Operator.Greater, [Bound(lexer)]);
            case "<" or "lt":
                lexer.Next();
                return new Clause(key, Operator.Less, [Bound(lexer)]);
            case var other:
                throw Unparsable($"found '{other}', expected: in, notin, =, ==, !=, gt, lt");
        }
    }

    private static FormatException Unparsable(string why) => new("unable to parse requirement: " + why);

    private static string Key(string token) =>
        token is "" or "," or "(" or ")" or "=" or "==" or "!="
            ? throw Unparsable($"found '{token}', expected: !, identifier, or 'end of string'")
            : Names.Qualified(token) is { } wrong
            ? throw Unparsable($"invalid label key \"{token}\": {wrong}")
            : token;

    private static string Bound(Lexer lexer)
    {
        var value = Value(lexer);
        return long.TryParse(value, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out _)
            ? value
            : throw Unparsable("for 'Gt', 'Lt' operators, the value must be an integer");
    }

    private static string Value(Lexer lexer)
    {
        if (lexer.Peek() is "" or ",")
        {
            return "";
        }

        var value = lexer.Next();
        return value is "(" or ")" or "=" or "==" or "!=" ? throw Unparsable($"found '{value}', expected: identifier") : value;
    }

    private static List<string> Values(Lexer lexer)
    {
        if (lexer.Next() is not "(" and var found)
        {
            throw Unparsable($"found '{found}' expected: '('");
        }

        var values = new List<string>();
        while (true)
        {
            if (lexer.Peek() is ")" or "," or "")
            {
                values.Add("");
            }
            else
            {
                values.Add(lexer.Next());
            }

            switch (lexer.Next())
            {
                case ")":
                    return values;
                case ",":
                    break;
                case var other:
                    throw Unparsable($"found '{other}', expected: ',' or ')'");
            }
        }
    }

    private sealed record Clause(string Key, Operator Operator, List<string> Values)
    {
        public bool Matches(string? value) => Operator switch
        {
            Operator.Exists => value is not null,
            Operator.Missing => value is null,
            Operator.In => value is not null && Values.Contains(value),
            Operator.Greater => Number(value) > Number(Values[0]),
            Operator.Less => Number(value) < Number(Values[0]),
            _ => value is null || !Values.Contains(value),
        };

        private static long? Number(string? text) =>
            long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number) ? number : null;
    }

    private sealed class Lexer(string text)
    {
        private int _at;

        public string Peek()
        {
            var before = _at;
            var token = Next();
            _at = before;
            return token;
        }

        public string Next()
        {
            while (_at < text.Length && char.IsWhiteSpace(text[_at]))
            {
                _at++;
            }

            if (_at == text.Length)
            {
                return "";
            }

            var start = _at;
            if (text[_at] is '(' or ')' or ',')
            {
                return text[_at++].ToString();
            }

            if (text[_at] is '=' or '!' or '<' or '>')
            {
                _at++;
                if (_at < text.Length && text[_at] == '=')
                {
                    _at++;
                }

                return text[start.._at];
            }

            while (_at < text.Length && !char.IsWhiteSpace(text[_at]) && text[_at] is not ('(' or ')' or ',' or '=' or '!' or '<' or '>'))
            {
                _at++;
            }

            return text[start.._at];
        }
    }
}

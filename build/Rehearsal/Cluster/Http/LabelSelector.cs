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
    }

    public bool IsEmpty => _clauses.Count == 0;

    /// <exception cref="ApiException">400 with the real server's words when the text is no selector.</exception>
    public static LabelSelector Parse(string text)
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
                        throw ApiException.BadRequest("found '', expected: identifier after ','");
                    }

                    break;
                case var other:
                    throw ApiException.BadRequest($"found '{other}', expected: ',' or 'end of string'");
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
            case var other:
                throw ApiException.BadRequest($"found '{other}', expected: in, notin, =, ==, !=, gt, lt");
        }
    }

    private static string Key(string token) =>
        token is "" or "," or "(" or ")" or "=" or "==" or "!="
            ? throw ApiException.BadRequest($"found '{token}', expected: !, identifier, or 'end of string'")
            : token;

    private static string Value(Lexer lexer)
    {
        if (lexer.Peek() is "" or ",")
        {
            return "";
        }

        var value = lexer.Next();
        return value is "(" or ")" or "=" or "==" or "!=" ? throw ApiException.BadRequest($"found '{value}', expected: identifier") : value;
    }

    private static List<string> Values(Lexer lexer)
    {
        if (lexer.Next() != "(")
        {
            throw ApiException.BadRequest("found '', expected: '('");
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
                    throw ApiException.BadRequest($"found '{other}', expected: ',' or ')'");
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
            _ => value is null || !Values.Contains(value),
        };
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

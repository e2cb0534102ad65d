using Rollout.Database;

namespace Rollout.Tests.Database;

public sealed class SqlStatementsTests
{
    [TestCase("", new string[0])]
    [TestCase(" ; ;\n-- only a comment;\n/* and /* another; */ ; */", new string[0])]
    [TestCase("SELECT 1; SELECT 2", new[] { "SELECT 1", "SELECT 2" })]
    [TestCase("BEGIN; SELECT 1; COMMIT;", new[] { "SELECT 1" })]
    [TestCase("SELECT ';', 'it''s;', E'\\';', \"a;b\";", new[] { "SELECT ';', 'it''s;', E'\\';', \"a;b\"" })]
    [TestCase("DO $$ BEGIN PERFORM 1; END $$; SELECT 2;", new[] { "DO $$ BEGIN PERFORM 1; END $$", "SELECT 2" })]
    [TestCase("DO $a$ $$;$$ $a$;", new[] { "DO $a$ $$;$$ $a$" })]
    [TestCase("SELECT a$1;SELECT $1", new[] { "SELECT a$1", "SELECT $1" })]
    [TestCase("SELECT 3 - 1 / 2;", new[] { "SELECT 3 - 1 / 2" })]
    [TestCase("-- why\ncommit; SELECT 1", new[] { "SELECT 1" })]
    [TestCase("CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN a THEN 1 END; END; SELECT 2", new[] { "CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN a THEN 1 END; END", "SELECT 2" })]
    [TestCase("CREATE RULE r AS ON INSERT TO a DO ALSO (DELETE FROM b; DELETE FROM c); SELECT 2", new[] { "CREATE RULE r AS ON INSERT TO a DO ALSO (DELETE FROM b; DELETE FROM c)", "SELECT 2" })]
    [TestCase("CREATE TABLE begin_atomic (a int); SELECT 2", new[] { "CREATE TABLE begin_atomic (a int)", "SELECT 2" })]
    public void A_script_is_split_where_PostgreSQL_ends_a_statement(string script, string[] statements) =>
        Assert.That(SqlStatements.Split(script), Is.EqualTo(statements));

    [TestCase("SELECT 'x", "a string has no end")]
    [TestCase("SELECT \"x", "a quoted name has no end")]
    [TestCase("SELECT 1 /* x", "a comment has no end")]
    [TestCase("DO $x$ ;", "a dollar quote has no end")]
    [TestCase("SELECT 1; ROLLBACK; DROP TABLE x", "it says ROLLBACK")]
    [TestCase("/* x */ SAVEPOINT a", "it says SAVEPOINT")]
    public void What_cannot_be_tried_is_refused(string script, string why) =>
        Assert.That(Assert.Throws<FormatException>(() => SqlStatements.Split(script))!.Message, Does.Contain(why));
}

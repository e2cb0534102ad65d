using Rollout.Database;

namespace Rollout.Tests.Database;

[Parallelizable(ParallelScope.All)]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class MigrationTreeTests
{
    private readonly string _directory = Directory.CreateTempSubdirectory("rollout-migrations-").FullName;

    [TearDown]
    public void Remove() => Directory.Delete(_directory, recursive: true);

    [Test]
    public void A_sound_tree_has_one_head()
    {
        Write("0001_create.py", "revision = \"0001\"\ndown_revision = None\n");
        Write("0002_add.py", "revision: str = '0002_add'\ndown_revision: str | None = '0001'  # builds on the first\n");
        Write("env.py", "from alembic import context\n");
        var tree = DatabaseSchema.HeadsInCheckout(_directory);
        Assert.That(tree.Heads, Is.EqualTo(new[] { "0002_add" }));
        Assert.That(tree.Revisions, Has.Count.EqualTo(2));
        Assert.That(tree.Problems, Is.Empty);
    }

    [Test]
    public void A_merge_joins_two_branches()
    {
        Write("a.py", "revision = 'a'\ndown_revision = None\n");
        Write("b.py", "revision = 'b'\ndown_revision = 'a'\n");
        Write("c.py", "revision = 'c'\ndown_revision = 'a'\n");
        Write("d.py", "revision = 'd'\ndown_revision = (\n    'b',\n    'c',\n)\n");
        Assert.That(DatabaseSchema.HeadsInCheckout(_directory).Heads, Is.EqualTo(new[] { "d" }));
    }

    [Test]
    public void Twins_orphans_and_several_heads_are_named()
    {
        Write("0005_a.py", "revision = '0005'\ndown_revision = None\n");
        Write("0005_b.py", "revision = '0005'\ndown_revision = None\n");
        Write("0006.py", "revision = '0006'\ndown_revision = '0004'\n");
        var problems = DatabaseSchema.HeadsInCheckout(_directory).Problems;
        Assert.That(problems, Has.Exactly(1).Contains("'0005' is declared by 2 files (0005_a.py, 0005_b.py)"));
        Assert.That(problems, Has.Exactly(1).Contains("'0006' (0006.py) builds on '0004', which is not there"));
        Assert.That(problems, Has.Exactly(1).EqualTo("it has 2 heads: 0005, 0006"));
    }

    [Test]
    public void Revisions_that_build_on_one_another_in_a_circle_are_named()
    {
        Write("a.py", "revision = 'a'\ndown_revision = None\n");
        Write("b.py", "revision = 'b'\ndown_revision = 'd'\n");
        Write("c.py", "revision = 'c'\ndown_revision = 'b'\n");
        Write("d.py", "revision = 'd'\ndown_revision = 'c'\n");
        Assert.That(DatabaseSchema.HeadsInCheckout(_directory).Problems, Has.Exactly(1).EqualTo("revisions build on one another in a circle, so none of them would run: b, c, d"));
    }

    [Test]
    public void An_empty_tree_is_a_problem_and_none_at_all_a_failure()
    {
        Assert.That(DatabaseSchema.HeadsInCheckout(_directory).Problems, Has.Count.EqualTo(1));
        Assert.That(() => DatabaseSchema.HeadsInCheckout(Path.Combine(_directory, "no")), Throws.TypeOf<RolloutException>());
    }

    private void Write(string name, string text)
    {
        var path = Path.Combine(_directory, "versions", name);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(path, text);
    }
}

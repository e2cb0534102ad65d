"""Applies the migrations of both trees, in order, to the database that an environment variable names.

    python3 ops/run_migrations.py --dsn-env NAME [--manifest-dsn-env NAME] [--allow-breaking] [--check | --sql FILE]

This one is the rehearsal's own. The platform runs two Alembic trees and a function of release_manifest.py from a hook of its chart,
after the pods have started; none of the three can be run there as it is. The facts of a revision (its id and predecessor) are in
its Python file, as for Alembic; the statements are in the SQL file beside it.

Each revision and its mark in alembic_version are one transaction. Statements that could break the release which is still live on
the same database are refused before anything is applied. --check changes nothing: exit code 0 when the database is at the heads of
this checkout, 3 when migrations are pending. Otherwise 0 is done and 1 is failed.
"""
from __future__ import annotations

import argparse
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from common.utils.psql import Database, DatabaseError
from release_manifest import TABLE as RELEASE_MANIFEST_TABLE

ROOT = Path(__file__).resolve().parent.parent

TREES = ("data/migrations", "data/alembic")

REVISION = re.compile(r"""^revision\s*(?::[^=\n]+)?=\s*["']([^"']+)["']""", re.MULTILINE)
DOWN_REVISION = re.compile(r"""^down_revision\s*(?::[^=\n]+)?=\s*(?:None|["']([^"']+)["'])""", re.MULTILINE)

# What an older release may still read, or write without knowing better.
BREAKING = re.compile(r"\b(drop|truncate|rename|delete\s+from|alter\s+column|set\s+not\s+null|update)\b", re.IGNORECASE)

APPLY = """
BEGIN;
SET LOCAL client_min_messages TO warning;
SET LOCAL lock_timeout TO '10s';
DO $lock$ BEGIN PERFORM pg_advisory_xact_lock(hashtext('aether migrations')); END $lock$;
CREATE TABLE IF NOT EXISTS alembic_version (version_num varchar(128) PRIMARY KEY);
SELECT :'before' <> '' AND NOT EXISTS (SELECT FROM alembic_version WHERE version_num = :'before') AS moved \\gset
\\if :moved
DO $moved$ BEGIN RAISE EXCEPTION 'another run has moved the database meanwhile'; END $moved$;
\\endif
{statements}
-- Alembic's own table has 32 characters, too few for some of the revisions.
ALTER TABLE alembic_version ALTER COLUMN version_num TYPE varchar(128);
DELETE FROM alembic_version WHERE version_num = :'before';
INSERT INTO alembic_version VALUES (:'revision') ON CONFLICT DO NOTHING;
COMMIT;
"""


# The same for somebody who runs it himself.
OFFLINE = """
-- {tree}: {name}
CREATE TABLE IF NOT EXISTS alembic_version (version_num varchar(128) PRIMARY KEY);
{statements}
ALTER TABLE alembic_version ALTER COLUMN version_num TYPE varchar(128);
DELETE FROM alembic_version WHERE version_num = '{before}';
INSERT INTO alembic_version VALUES ('{revision}') ON CONFLICT DO NOTHING;
"""


class MigrationError(Exception):
    """The trees or the database are not such that migrations can be applied."""


@dataclass(frozen=True)
class Revision:
    identity: str
    down: Optional[str]
    path: Path

    @property
    def statements(self) -> str:
        try:
            return self.path.with_suffix(".sql").read_text(encoding="utf-8")
        except FileNotFoundError:
            raise MigrationError(f"{self.path.with_suffix('.sql').name} is missing beside {self.path.name}") from None


def read_tree(tree: str) -> "list[Revision]":
    """The revisions from the first to the head."""
    revisions: "dict[str, Revision]" = {}
    files: "dict[str, list[str]]" = {}
    for path in sorted((ROOT / tree / "versions").glob("*.py")):
        text = path.read_text(encoding="utf-8")
        identity, down = REVISION.search(text), DOWN_REVISION.search(text)
        if not identity or not down:
            raise MigrationError(f"{tree}: {path.name} names no revision or no down_revision")
        files.setdefault(identity[1], []).append(path.name)
        # Of several files with one id the last counts, as with Alembic; the others are never applied.
        revisions[identity[1]] = Revision(identity[1], down[1], path)
    for identity, names in files.items():
        if len(names) > 1:
            print(f"{tree}: revision {identity} stands in {len(names)} files; only {names[-1]} counts", file=sys.stderr)
    heads = sorted(set(revisions) - {revision.down for revision in revisions.values()})
    if len(heads) != 1:
        raise MigrationError(f"{tree}: expected one head, found {', '.join(heads) or 'none'}")
    chain: "list[Revision]" = []
    at: Optional[str] = heads[0]
    while at is not None:
        if at not in revisions or len(chain) == len(revisions):
            raise MigrationError(f"{tree}: {chain[-1].path.name} follows {at}, which is in no file or follows itself")
        chain.append(revisions[at])
        at = revisions[at].down
    return chain[::-1]


def stored_versions(database: Database) -> "set[str]":
    """The heads in the database: both trees share Alembic's table, one row each."""
    if database.run("SELECT to_regclass('alembic_version') IS NOT NULL;").strip() != "t":
        return set()
    return {row[0] for row in database.rows("SELECT version_num FROM alembic_version;")}


def current(tree: str, chain: "list[Revision]", stored: "set[str]") -> Optional[str]:
    found = [revision.identity for revision in chain if revision.identity in stored]
    if len(found) > 1:
        raise MigrationError(f"{tree}: the database says that it is at {' and at '.join(found)}")
    return found[0] if found else None


def refuse_breaking(tree: str, revision: Revision) -> None:
    statements = re.sub(r"--[^\n]*", "", revision.statements)
    found = BREAKING.search(statements)
    if found:
        raise MigrationError(f"{tree}: {revision.path.stem} is not additive: it says {found[0].upper()}")


def migrate(database: Database, check: bool, offline: Optional[str], allow_breaking: bool) -> int:
    """Prints what is pending in each tree and, unless only checking, applies it. Returns how many revisions that were or are."""
    chains = {tree: read_tree(tree) for tree in TREES}
    stored = stored_versions(database)
    unknown = stored - {revision.identity for chain in chains.values() for revision in chain}
    if unknown:
        found = ", ".join(sorted(unknown))
        raise MigrationError(f"the database is at {found}, which this checkout does not know: a newer release has been here")
    plan = []
    for tree, chain in chains.items():
        at = current(tree, chain, stored)
        pending = chain[[revision.identity for revision in chain].index(at) + 1 :] if at else chain
        for revision in pending if not (allow_breaking or offline) else []:
            refuse_breaking(tree, revision)
        print(f"{tree}: database at {at or 'nothing'}, checkout at {chain[-1].identity}, {len(pending)} pending", flush=True)
        plan += [(tree, revision) for revision in pending]
    if offline:
        Path(offline).write_text(
            "".join(
                OFFLINE.format(
                    tree=tree, name=revision.path.stem, statements=revision.statements, before=revision.down or "", revision=revision.identity
                )
                for tree, revision in plan
            ),
            encoding="utf-8",
        )
        return len(plan)
    for tree, revision in plan:
        if check:
            print(f"{tree}: pending {revision.path.stem}")
            continue
        try:
            database.run(APPLY.format(statements=revision.statements), {"revision": revision.identity, "before": revision.down or ""})
        except DatabaseError as error:
            raise MigrationError(f"{tree}: {revision.path.stem} failed and was taken back: {error}") from error
        print(f"{tree}: applied {revision.path.stem}", flush=True)
    return len(plan)


def main() -> int:
    parser = argparse.ArgumentParser(description="Apply the platform's migrations.")
    parser.add_argument("--dsn-env", required=True, metavar="NAME", help="the environment variable that holds the database's DSN")
    parser.add_argument(
        "--manifest-dsn-env",
        default="RELEASE_MANIFEST_DATABASE_URL",
        metavar="NAME",
        help="the same for release manifests; left out where unset",
    )
    parser.add_argument("--allow-breaking", action="store_true", help="apply also what an older release could trip over")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--check", action="store_true", help="only say what is pending")
    only.add_argument("--sql", metavar="FILE", help="only write the pending statements to this file")
    options = parser.parse_args()
    dsn = os.environ.get(options.dsn_env)
    if not dsn:
        print(f"Migrations were not run: {options.dsn_env} is not set.", file=sys.stderr)
        return 1
    try:
        count = migrate(Database(dsn), options.check, options.sql, options.allow_breaking)
        if options.check:
            return 3 if count else 0
        if options.sql:
            print(f"Wrote {count} pending migration(s).")
            return 0
        manifests = os.environ.get(options.manifest_dsn_env)
        if manifests:
            Database(manifests).run(RELEASE_MANIFEST_TABLE)
            print("release manifests: table is there")
    except (MigrationError, DatabaseError) as error:
        print(f"Migrations failed: {error}", file=sys.stderr)
        return 1
    print(f"Applied {count} migration(s).")
    return 0


if __name__ == "__main__":
    sys.exit(main())

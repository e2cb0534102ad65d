"""Keeps what a release was made of, so that it can be compared and taken up again.

    python3 release_manifest.py create --id ID --file MANIFEST.json
    python3 release_manifest.py list [--limit 20]
    python3 release_manifest.py verify --id ID
    python3 release_manifest.py rollback --id ID

The DSN comes from RELEASE_MANIFEST_DATABASE_URL. Exit code 0 is done; 1 is failed, or a manifest that is not what was stored.
"""
from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from typing import Any

from common.utils.psql import Database, DatabaseError, copy_field

TABLE = """
SET client_min_messages TO warning;
CREATE TABLE IF NOT EXISTS release_manifests (
    manifest_id text PRIMARY KEY,
    manifest_json json NOT NULL,
    manifest_hash text NOT NULL,
    ts timestamptz NOT NULL DEFAULT now()
);
"""

INSERT = """
BEGIN;
CREATE TEMPORARY TABLE incoming (manifest_id text, manifest_json json, manifest_hash text) ON COMMIT DROP;
COPY incoming FROM STDIN;
{row}
\\.
INSERT INTO release_manifests (manifest_id, manifest_json, manifest_hash) SELECT * FROM incoming;
COMMIT;
"""


def canonical(manifest: Any) -> str:
    return json.dumps(manifest, sort_keys=True, separators=(",", ":"))


def fingerprint(manifest: Any) -> str:
    return hashlib.sha256(canonical(manifest).encode("utf-8")).hexdigest()


class ReleaseManifests:
    def __init__(self, database: Database) -> None:
        self._database = database
        database.run(TABLE)

    def create(self, identity: str, manifest: Any) -> str:
        row = "\t".join(copy_field(value) for value in (identity, canonical(manifest), fingerprint(manifest)))
        self._database.run(INSERT.format(row=row))
        return fingerprint(manifest)

    def list(self, limit: int) -> "list[list[str]]":
        return self._database.rows(
            "SELECT manifest_id, manifest_hash, ts FROM release_manifests ORDER BY ts DESC, manifest_id LIMIT :'limit'::int;",
            {"limit": str(limit)},
        )

    def get(self, identity: str) -> "tuple[Any, str]":
        query = "SELECT manifest_json, manifest_hash FROM release_manifests WHERE manifest_id = :'id';"
        rows = self._database.rows(query, {"id": identity})
        if not rows:
            known = ", ".join(row[0] for row in self.list(5)) or "none"
            raise DatabaseError(f"there is no manifest {identity}; the newest are: {known}")
        return json.loads(rows[0][0]), rows[0][1]


def main() -> int:
    parser = argparse.ArgumentParser(description="Keep release manifests.")
    commands = parser.add_subparsers(dest="command", required=True)
    create = commands.add_parser("create")
    create.add_argument("--id", required=True)
    create.add_argument("--file", required=True)
    commands.add_parser("list").add_argument("--limit", type=int, default=20)
    for name in ("verify", "rollback"):
        commands.add_parser(name).add_argument("--id", required=True)
    options = parser.parse_args()
    dsn = os.environ.get("RELEASE_MANIFEST_DATABASE_URL")
    if not dsn:
        print("No database: set RELEASE_MANIFEST_DATABASE_URL.", file=sys.stderr)
        return 1
    try:
        manifests = ReleaseManifests(Database(dsn))
        if options.command == "list":
            for row in manifests.list(options.limit):
                print("\t".join(row))
            return 0
        if options.command == "create":
            with open(options.file, encoding="utf-8") as file:
                print(f"{options.id}\t{manifests.create(options.id, json.load(file))}")
            return 0
        manifest, stored = manifests.get(options.id)
        if fingerprint(manifest) != stored:
            found = fingerprint(manifest)
            print(f"Manifest {options.id} is not what was stored: its hash is {found}, stored is {stored}.", file=sys.stderr)
            return 1
        # A rollback prints the older manifest for those who deploy; it changes nothing by itself.
        print(canonical(manifest) if options.command == "rollback" else f"{options.id} is intact: {stored}")
    except (DatabaseError, OSError, json.JSONDecodeError) as error:
        print(f"Release manifests: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

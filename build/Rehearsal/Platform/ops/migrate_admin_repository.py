"""Copies administrator accounts from a JSON file into the admin platform's database.

    python3 ops/migrate_admin_repository.py --source FILE [--dsn DSN]

The DSN comes from --dsn or ADMIN_POSTGRES_DSN and is plain postgresql://. The repository has to be on the Python path. Repeatable:
an account is found again by its email; a plain password is hashed anew each time.
"""
from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import sys
from typing import Any, Optional

from common.utils.psql import Database, DatabaseError, copy_field

ITERATIONS = 210_000

UPSERT = """
BEGIN;
SET LOCAL client_min_messages TO warning;
CREATE TABLE IF NOT EXISTS admin_accounts (
    email text PRIMARY KEY,
    admin_id text NOT NULL,
    password_hash text NOT NULL,
    mfa_secret text NOT NULL,
    allowed_ips text
);
CREATE TEMPORARY TABLE incoming_accounts (email text, admin_id text, password_hash text, mfa_secret text, allowed_ips text) ON COMMIT DROP;
COPY incoming_accounts FROM STDIN;
{rows}
\\.
INSERT INTO admin_accounts (email, admin_id, password_hash, mfa_secret, allowed_ips)
SELECT email, admin_id, password_hash, mfa_secret, allowed_ips FROM incoming_accounts
ON CONFLICT (email) DO UPDATE SET
    admin_id = EXCLUDED.admin_id,
    password_hash = EXCLUDED.password_hash,
    mfa_secret = EXCLUDED.mfa_secret,
    allowed_ips = EXCLUDED.allowed_ips;
COMMIT;
"""


class SourceError(Exception):
    """The source file is not a list of accounts; the message names the place, never the content."""


def read_accounts(path: str) -> "list[dict[str, Optional[str]]]":
    try:
        with open(path, encoding="utf-8") as file:
            source = json.load(file)
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8'}") from error
    except json.JSONDecodeError as error:
        raise SourceError(f"{path} is not JSON: {error.msg} in line {error.lineno}") from error
    if not isinstance(source, list):
        raise SourceError(f"{path} holds no list of accounts")
    return [read_account(path, place, entry) for place, entry in enumerate(source)]


def read_account(path: str, place: int, entry: Any) -> "dict[str, Optional[str]]":
    if not isinstance(entry, dict):
        raise SourceError(f"{path}: entry {place} is not an object")

    def text(*names: str) -> str:
        for name in names:
            value = entry.get(name)
            if isinstance(value, str) and value:
                return value
        raise SourceError(f"{path}: entry {place} has no {' or '.join(names)}")

    email = text("email")
    stored_hash = entry.get("password_hash")
    password_hash = stored_hash if isinstance(stored_hash, str) and stored_hash else hash_password(text("password_hash", "password"))
    allowed = entry.get("allowed_ips")
    if allowed is not None and not (isinstance(allowed, list) and all(isinstance(address, str) for address in allowed)):
        raise SourceError(f"{path}: entry {place} has allowed_ips that are no list of addresses")
    return {
        "email": email,
        "admin_id": text("admin_id", "id"),
        "password_hash": password_hash,
        "mfa_secret": text("mfa_secret"),
        "allowed_ips": None if allowed is None else json.dumps(allowed),
    }


def hash_password(password: str) -> str:
    salt = os.urandom(16)
    digest = hashlib.pbkdf2_hmac("sha256", password.encode("utf-8"), salt, ITERATIONS)
    return f"pbkdf2_sha256${ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def main() -> int:
    parser = argparse.ArgumentParser(description="Copy administrator accounts into the admin platform's database.")
    parser.add_argument("--source", required=True, metavar="FILE", help="JSON list of accounts; it holds secrets")
    parser.add_argument("--dsn", default=os.environ.get("ADMIN_POSTGRES_DSN"), help="default: ADMIN_POSTGRES_DSN")
    arguments = parser.parse_args()
    if not arguments.dsn:
        print("No database: give --dsn or set ADMIN_POSTGRES_DSN.", file=sys.stderr)
        return 1
    try:
        accounts = read_accounts(arguments.source)
        # An email that stands twice is one account, and its last entry counts.
        by_email = {account["email"]: account for account in accounts}
        rows = "\n".join("\t".join(copy_field(value) for value in account.values()) for account in by_email.values())
        Database(arguments.dsn).run(UPSERT.format(rows=rows) if rows else "SELECT 1;")
    except (SourceError, DatabaseError) as error:
        print(f"Administrator accounts were not migrated: {error}", file=sys.stderr)
        return 1
    print(f"Migrated {len(accounts)} administrator account(s).")
    return 0


if __name__ == "__main__":
    sys.exit(main())

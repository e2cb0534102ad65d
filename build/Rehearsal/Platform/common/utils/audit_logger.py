"""Audit trail A: one line on standard output, one in a chain of hashes in a file, one row in the table audit_log.

    python3 -m common.utils.audit_logger verify --log FILE --state FILE

A failure to write is logged and forgotten. The line comes first, the file second, the row last: where the file cannot be written the
row is never tried, and the line is the only evidence. The chain is a process's own: rows of several processes fork it.
"""
from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable, Mapping, Optional

log = logging.getLogger("common.utils.audit_logger")

GENESIS = "0" * 64
FIELDS = ("actor", "action", "entity", "before", "after", "ip_hash", "ts", "sensitive")
CACHE = Path.home() / ".cache" / "aether"

INSERT = """
CREATE TEMPORARY TABLE incoming
    (actor text, action text, entity text, "before" jsonb, "after" jsonb, ts timestamptz, hash text, prev_hash text);
COPY incoming FROM STDIN;
{row}
\\.
INSERT INTO audit_log (actor, action, entity, "before", "after", ts, hash, prev_hash) SELECT * FROM incoming;
"""

Store = Callable[[Mapping[str, Any]], None]


def canonical(entry: Mapping[str, Any]) -> str:
    return json.dumps({field: entry.get(field) for field in FIELDS}, sort_keys=True, separators=(",", ":"), default=str)


def chain_hash(previous: str, entry: Mapping[str, Any]) -> str:
    return hashlib.sha256((previous + canonical(entry)).encode("utf-8")).hexdigest()


def chain_files() -> "tuple[Path, Path]":
    return (
        Path(os.environ.get("AUDIT_CHAIN_LOG") or CACHE / "audit_chain.log"),
        Path(os.environ.get("AUDIT_CHAIN_STATE") or CACHE / "audit_chain_state.json"),
    )


def log_audit(
    actor: str,
    action: str,
    entity: str,
    before: Any,
    after: Any,
    ip_hash: Optional[str] = None,
    sensitive: bool = False,
    store: Optional[Store] = None,
) -> "dict[str, Any]":
    """Records one event. store is where the row goes; without one it is the database that the environment names, if any."""
    entry: "dict[str, Any]" = {
        "actor": actor,
        "action": action,
        "entity": entity,
        "before": before,
        "after": after,
        "ip_hash": ip_hash,
        "ts": datetime.now(timezone.utc).isoformat(),
        "sensitive": sensitive,
    }
    print(canonical(entry), flush=True)
    try:
        entry["prev_hash"], entry["hash"] = append(entry)
        (store or store_row)(entry)
    except Exception:  # The audit trail is fail-open: no caller stops because its evidence is lost.
        log.exception("Audit event %s was not written", action)
    return entry


def append(entry: Mapping[str, Any]) -> "tuple[str, str]":
    chain, state = chain_files()
    for file in (chain, state):
        file.parent.mkdir(parents=True, exist_ok=True)
    previous = json.loads(state.read_text(encoding="utf-8"))["last_hash"] if state.exists() else GENESIS
    current = chain_hash(previous, entry)
    with chain.open("a", encoding="utf-8") as file:
        file.write(json.dumps({**entry, "prev_hash": previous, "hash": current}, sort_keys=True, default=str) + "\n")
    # Written beside and moved, so that a crash leaves the old state or the new one.
    beside = state.with_suffix(".new")
    beside.write_text(json.dumps({"last_hash": current}), encoding="utf-8")
    beside.replace(state)
    return previous, current


def store_row(entry: Mapping[str, Any]) -> None:
    from common.utils.psql import Database, copy_field

    dsn = os.environ.get("AUDIT_DATABASE_URL") or os.environ.get("DATABASE_URL")
    if not dsn:
        return
    values = [entry["actor"], entry["action"], entry["entity"]]
    values += [json.dumps(entry[field], default=str) for field in ("before", "after")]
    values += [entry["ts"], entry["hash"], entry["prev_hash"]]
    Database(dsn).run(INSERT.format(row="\t".join(copy_field(value) for value in values)))


def verify(chain: Path, state: Path) -> Optional[str]:
    """What is wrong with a chain, or None."""
    previous = GENESIS
    try:
        lines = chain.read_text(encoding="utf-8").splitlines()
        last = json.loads(state.read_text(encoding="utf-8"))["last_hash"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"the chain cannot be read: {error}"
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
            if entry["prev_hash"] != previous:
                return f"line {number} does not follow the line before it"
            if entry["hash"] != chain_hash(previous, entry):
                return f"line {number} is not what was written"
        except (ValueError, KeyError, TypeError) as error:
            return f"line {number} is no entry: {error}"
        previous = entry["hash"]
    return None if last == previous else "the state does not name the last line: lines are missing at the end, or too many"


def main() -> int:
    parser = argparse.ArgumentParser(description="Check an audit chain.")
    check = parser.add_subparsers(dest="command", required=True).add_parser("verify")
    chain, state = chain_files()
    check.add_argument("--log", type=Path, default=chain)
    check.add_argument("--state", type=Path, default=state)
    options = parser.parse_args()
    wrong = verify(options.log, options.state)
    if wrong:
        print(f"Audit chain is broken: {wrong}.", file=sys.stderr)
        return 1
    print("Audit chain is intact.")
    return 0


if __name__ == "__main__":
    sys.exit(main())

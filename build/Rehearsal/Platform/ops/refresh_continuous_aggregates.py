"""Refreshes an account's continuous aggregates over a window of time.

    python3 ops/refresh_continuous_aggregates.py ACCOUNT AGGREGATE… [--lookback-minutes 60 | --start ISO --end ISO] [--log-level L]

The DSN comes from AETHER_<ACCOUNT>_TIMESCALE_DSN (the account in capitals, its hyphen kept) or TIMESCALE_DSN. A name without a schema
gets the account's. Always ends with exit code 0: what could not be refreshed is a warning, as on the platform.

Where the procedure refresh_continuous_aggregate exists it is called, and always in vain: this runs in a transaction, and the
procedure refuses to. A plain materialised view, on a server without the procedure, is refreshed.
"""
from __future__ import annotations

import argparse
import logging
import os
import re
import sys
from datetime import datetime, timedelta, timezone
from typing import Optional

from common.utils.psql import Database, DatabaseError

log = logging.getLogger("ops.refresh_continuous_aggregates")

HAS_PROCEDURE = "SELECT count(*) FROM pg_proc WHERE proname = 'refresh_continuous_aggregate';"

CALL = """
BEGIN;
CALL refresh_continuous_aggregate(:'view'::regclass, :'start'::timestamptz, :'end'::timestamptz);
COMMIT;
"""

REFRESH = """
BEGIN;
REFRESH MATERIALIZED VIEW :"schema".:"name";
COMMIT;
"""


def account_schema(account: str) -> str:
    override = os.environ.get(f"AETHER_{account.upper()}_TIMESCALE_SCHEMA")
    if override:
        return override
    return "acct_" + re.sub(r"[^a-z0-9_]", "", account.lower().replace("-", "_"))


def account_database(account: str) -> Database:
    names = (f"AETHER_{account.upper()}_TIMESCALE_DSN", "TIMESCALE_DSN")
    for name in names:
        if os.environ.get(name):
            return Database(os.environ[name])
    raise DatabaseError(f"neither {names[0]} nor {names[1]} is set")


def refresh(account: str, aggregate: str, start: datetime, end: datetime) -> None:
    schema, _, name = aggregate.rpartition(".")
    schema = schema or account_schema(account)
    database = account_database(account)
    if database.run(HAS_PROCEDURE).strip() == "0":
        database.run(REFRESH, {"schema": schema, "name": name})
    else:
        database.run(CALL, {"view": f"{schema}.{name}", "start": start.isoformat(), "end": end.isoformat()})


def moment(text: str) -> datetime:
    try:
        # Python before 3.11 knows no Z.
        parsed = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith(("Z", "z")) else text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no ISO 8601 time") from None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)


def main(arguments: "Optional[list[str]]" = None) -> int:
    parser = argparse.ArgumentParser(description="Refresh an account's continuous aggregates.")
    parser.add_argument("account", metavar="ACCOUNT")
    parser.add_argument("aggregates", metavar="AGGREGATE", nargs="+")
    parser.add_argument("--lookback-minutes", type=float, default=60.0)
    parser.add_argument("--start", type=moment, metavar="ISO")
    parser.add_argument("--end", type=moment, metavar="ISO")
    parser.add_argument("--log-level", default="INFO", metavar="L")
    options = parser.parse_args(arguments)
    if (options.start is None) != (options.end is None):
        parser.error("--start and --end are given together or not at all")
    end = options.end or datetime.now(timezone.utc)
    start = options.start or end - timedelta(minutes=options.lookback_minutes)
    if start >= end:
        parser.error("the window is empty: its start is not before its end")
    level = logging.getLevelName(options.log_level.upper())
    if not isinstance(level, int):
        parser.error(f"--log-level {options.log_level}: expected DEBUG, INFO, WARNING or ERROR")
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s %(message)s")

    for aggregate in options.aggregates:
        try:
            refresh(options.account, aggregate, start, end)
            log.info("Refreshed continuous aggregate %s from %s to %s", aggregate, start.isoformat(), end.isoformat())
        except DatabaseError as error:
            log.error("Refreshing continuous aggregate %s failed: %s", aggregate, error)
            log.warning("Unable to refresh continuous aggregate %s automatically; run the Timescale job manually", aggregate)
    return 0


if __name__ == "__main__":
    sys.exit(main())

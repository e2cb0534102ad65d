"""PostgreSQL through the psql command: the only database client that this checkout needs."""
from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys
from typing import Mapping, Optional
from urllib.parse import parse_qsl, unquote, urlsplit

SCHEMES = ("postgresql", "postgres")

# Query parameters of a connection URL that libpq reads from the environment under another name.
PARAMETERS = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "options": "PGOPTIONS",
    "application_name": "PGAPPNAME",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
}


class DatabaseError(Exception):
    """psql refused or failed; the message is what it said, without the connection string."""


class Database:
    """One database, by its URL (postgresql://user:password@host:port/name?sslmode=…)."""

    def __init__(self, dsn: str) -> None:
        self._environment = connection_environment(dsn)

    def run(self, script: str, variables: Optional[Mapping[str, str]] = None, stop: bool = True) -> str:
        """Runs a psql script from standard input and returns its rows, unaligned, fields parted by tabs.

        Variables are visible as process arguments: use them for names and times, and put secrets into the script.
        """
        command = [find_psql(), "--no-psqlrc", "--no-password", "--quiet", "--no-align", "--tuples-only", "--field-separator=\t"]
        command += ["--set", "ON_ERROR_STOP=" + ("1" if stop else "0"), "--set", "VERBOSITY=terse"]
        for name, value in (variables or {}).items():
            command += ["--set", f"{name}={value}"]
        finished = subprocess.run(
            command, input=script, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", check=False
        )
        if finished.returncode != 0:
            raise DatabaseError(finished.stderr.strip() or f"psql ended with exit code {finished.returncode}")
        for line in finished.stderr.splitlines():
            print(line, file=sys.stderr)
        return finished.stdout

    def rows(self, script: str, variables: Optional[Mapping[str, str]] = None) -> "list[list[str]]":
        return [line.split("\t") for line in self.run(script, variables).split("\n") if line]


def connection_environment(dsn: str) -> "dict[str, str]":
    """The environment in which psql meets the database: a password in an argument could be read by anybody on the machine."""
    # A driver's dialect (postgresql+psycopg://, timescale://) is nothing that libpq understands. Nothing of the string is repeated:
    # it holds a password.
    scheme = dsn.split("://", 1)[0] if "://" in dsn else ""
    if scheme not in SCHEMES:
        found = f"{scheme}://" if scheme else "no URL"
        raise DatabaseError(f"the connection string cannot be parsed: it begins with {found}, expected postgresql://")
    try:
        url = urlsplit(dsn)
        port = url.port
    except ValueError as error:
        raise DatabaseError("the connection string cannot be parsed: its port is not a number") from error
    environment = dict(os.environ)
    environment.setdefault("PGCONNECT_TIMEOUT", "10")
    environment["PGAPPNAME"] = os.path.basename(sys.argv[0]) or "aether"
    environment["PGCLIENTENCODING"] = "UTF8"
    parts = {
        "PGHOST": url.hostname and unquote(url.hostname),
        "PGPORT": port and str(port),
        "PGUSER": url.username and unquote(url.username),
        "PGPASSWORD": url.password and unquote(url.password),
        "PGDATABASE": unquote(url.path.lstrip("/")),
    }
    environment.update({name: value for name, value in parts.items() if value})
    for name, value in parse_qsl(url.query):
        if name not in PARAMETERS:
            raise DatabaseError(f"the connection string has the parameter {name!r}; known are {', '.join(sorted(PARAMETERS))}")
        environment[PARAMETERS[name]] = value
    return environment


def copy_field(value: Optional[str]) -> str:
    """A value as COPY's text format has it."""
    if value is None:
        return "\\N"
    return value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def find_psql() -> str:
    named = os.environ.get("PSQL") or shutil.which("psql")
    if named:
        return named
    # Debian keeps the programs of each major version to itself.
    installed = sorted(glob.glob("/usr/lib/postgresql/*/bin/psql"))
    if installed:
        return installed[-1]
    raise DatabaseError("psql is not on the path; install PostgreSQL's client, or name the program in PSQL")

"""Writes the OpenAPI document of the admin application.

    python3 scripts/generate_openapi.py [--output docs/api/openapi.json] [--indent 2]

The document is made from this checkout alone; no service is asked, whatever runs where.
"""
from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

# Method, path, summary, whether a session is needed. As on the platform one path is malformed: its router and its route both begin with
# a slash.
ROUTES = (
    ("get", "/healthz", "Health", False),
    ("get", "/metrics", "Metrics", False),
    ("post", "/auth/login", "Log in", False),
    ("post", "/auth/logout", "Log out", True),
    ("get", "/admin/accounts", "Administrator accounts", True),
    ("put", "/admin/accounts/{email}", "Change an administrator account", True),
    ("get", "//alerts/prioritized", "Prioritised alerts", True),
    ("get", "/audit/logs", "Audit log", True),
    ("get", "/compliance/packs", "Compliance packs", True),
    ("post", "/compliance/packs", "Make a compliance pack", True),
    ("get", "/config/current", "Current configuration", True),
    ("post", "/config/update", "Change the configuration", True),
    ("get", "/config/history", "Configuration history", True),
    ("get", "/infra/scaling/status", "Scaling status", True),
    ("get", "/knowledge/export/status", "Knowledge pack status", True),
    ("get", "/logs/export/status", "Log export status", True),
    ("post", "/logs/export", "Export logs", True),
    ("get", "/ops/drain/status", "Drain status", False),
    ("post", "/ops/drain/start", "Start draining", False),
    ("get", "/release/manifests", "Release manifests", True),
    ("get", "/reports/daily", "Daily report", True),
    ("get", "/reports/pnl_attribution", "Profit and loss by cause", True),
    ("get", "/secrets/status", "Status of exchange keys", True),
    ("post", "/secrets/rotate", "Rotate exchange keys", True),
    ("get", "/slo/status", "Service levels", True),
    ("get", "/system/mode", "Mode of the system", True),
)


def operation(method: str, path: str, summary: str, session: bool) -> "dict[str, Any]":
    words = "_".join(re.findall(r"[a-z0-9]+", path.lower()))
    found: "dict[str, Any]" = {
        "operationId": f"{words}_{method}",
        "summary": summary,
        "responses": {"200": {"description": "Successful Response"}},
    }
    parameters = re.findall(r"{([^}]+)}", path)
    if parameters:
        found["parameters"] = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in parameters]
    if session:
        found["security"] = [{"session": []}]
        found["responses"]["401"] = {"description": "Missing, unknown or expired session"}
    return found


def document() -> "dict[str, Any]":
    paths: "dict[str, Any]" = {}
    for method, path, summary, session in ROUTES:
        paths.setdefault(path, {})[method] = operation(method, path, summary, session)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Aether Admin Platform", "version": "stub"},
        "paths": paths,
        "components": {"securitySchemes": {"session": {"type": "http", "scheme": "bearer"}}},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the OpenAPI document of the admin application.")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "api" / "openapi.json")
    parser.add_argument("--indent", type=int, default=2)
    options = parser.parse_args()
    try:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(document(), indent=options.indent, sort_keys=True) + "\n", encoding="utf-8")
    except OSError as error:
        print(f"The OpenAPI document was not written: {error}", file=sys.stderr)
        return 1
    print(f"OpenAPI schema written to {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

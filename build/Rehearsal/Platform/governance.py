"""The three governed decisions, as far as their audit events go: what the services do around them is in their images."""
from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Callable, MutableMapping, Optional, Protocol

from common.utils.audit_logger import Store, log_audit

STATE_KEY = "safe-mode:state"
DECISIONS = ("approve", "reject")


class KeyValueStore(Protocol):
    def get(self, key: str) -> Any: ...

    def set(self, key: str, value: Any) -> Any: ...


class SafeMode:
    """Safe mode: a second entry keeps the first reason, yet is an event of its own."""

    def __init__(self, states: KeyValueStore, store: Optional[Store] = None) -> None:
        self._states = states
        self._store = store

    def enter(self, reason: str, actor: str) -> "dict[str, Any]":
        if not reason.strip():
            raise ValueError("reason is required")
        before = self._states.get(STATE_KEY) or {"active": False}
        after = before if before["active"] else {"active": True, "reason": reason, "timestamp": datetime.now(timezone.utc).isoformat()}
        self._states.set(STATE_KEY, after)
        log_audit(actor, "safe_mode.enter", "safe_mode", before, after, store=self._store)
        return after


def trigger_kill_switch(
    switches: "MutableMapping[str, str]",
    account: str,
    reason_code: str,
    actor: str,
    notify: Callable[[str, str], None],
    store: Optional[Store] = None,
) -> None:
    """Stops an account. There is no way back."""
    before = switches.get(account)
    switches[account] = reason_code
    notify(account, reason_code)
    log_audit(actor, "kill_switch.triggered", account, {"reason_code": before}, {"reason_code": reason_code}, store=store)


def decide(intent: str, account: str, decision: str, reason: str, actor: str, store: Optional[Store] = None) -> "dict[str, Any]":
    """Records a person's decision about an intent."""
    if decision not in DECISIONS:
        raise ValueError(f"decision {decision!r}: expected {' or '.join(DECISIONS)}")
    record = {"intent_id": intent, "account_id": account, "actor": actor, "decision": decision, "reason": reason}
    log_audit(actor, "override.human_decision", intent, None, record, store=store)
    return record

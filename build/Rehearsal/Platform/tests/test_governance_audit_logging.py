"""Safe mode, kill switch and override leave their audit events. All on stubs: this says something about the code and nothing about
any running stack.
"""
from __future__ import annotations

import contextlib
import io
import os
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from common.utils import audit_logger
from governance import SafeMode, decide, trigger_kill_switch


class InMemoryRedis:
    def __init__(self):
        self.values = {}

    def get(self, key):
        return self.values.get(key)

    def set(self, key, value):
        self.values[key] = value


class StubDatabase:
    def __init__(self):
        self.rows = []

    def __call__(self, entry):
        self.rows.append(dict(entry))


class GovernanceAuditLogging(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.chain = Path(directory.name) / "chain.log"
        self.state = Path(directory.name) / "state.json"
        environment = mock.patch.dict(os.environ, {"AUDIT_CHAIN_LOG": str(self.chain), "AUDIT_CHAIN_STATE": str(self.state)})
        environment.start()
        self.addCleanup(environment.stop)
        output = contextlib.redirect_stdout(io.StringIO())
        output.__enter__()
        self.addCleanup(output.__exit__, None, None, None)
        self.database = StubDatabase()

    def assert_chain_is_intact(self, entries):
        self.assertEqual(len(self.chain.read_text(encoding="utf-8").splitlines()), entries)
        self.assertIsNone(audit_logger.verify(self.chain, self.state))

    def test_safe_mode_entry_is_audited(self):
        safe_mode = SafeMode(InMemoryRedis(), self.database)
        safe_mode.enter("first", "company")
        status = safe_mode.enter("second", "director-1")
        self.assertEqual(status["reason"], "first")
        self.assertEqual([(row["action"], row["entity"], row["actor"]) for row in self.database.rows],
                         [("safe_mode.enter", "safe_mode", "company"), ("safe_mode.enter", "safe_mode", "director-1")])
        self.assert_chain_is_intact(2)

    def test_kill_switch_is_audited(self):
        switches, told = {}, []
        trigger_kill_switch(switches, "company", "loss_cap_breach", "director-1", lambda *event: told.append(event), self.database)
        self.assertEqual((switches, told), ({"company": "loss_cap_breach"}, [("company", "loss_cap_breach")]))
        row = self.database.rows[0]
        self.assertEqual((row["action"], row["entity"]), ("kill_switch.triggered", "company"))
        self.assertEqual(row["after"], {"reason_code": "loss_cap_breach"})
        self.assert_chain_is_intact(1)

    def test_override_is_audited(self):
        decide("intent-1", "company", "approve", "checked by hand", "director-2", self.database)
        row = self.database.rows[0]
        self.assertEqual((row["action"], row["entity"], row["actor"]), ("override.human_decision", "intent-1", "director-2"))
        self.assertEqual(row["after"]["decision"], "approve")
        self.assert_chain_is_intact(1)


if __name__ == "__main__":
    unittest.main()

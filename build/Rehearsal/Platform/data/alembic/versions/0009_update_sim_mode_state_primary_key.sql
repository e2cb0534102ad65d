-- A unique index beside the old key: what the live release reads and writes stays valid.
CREATE UNIQUE INDEX IF NOT EXISTS sim_mode_state_account ON sim_mode_state (account_id);

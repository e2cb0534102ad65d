ALTER TABLE sim_mode_state ADD COLUMN IF NOT EXISTS reason text;

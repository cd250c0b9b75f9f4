-- When (ms) whoever looks for devices that went silent has to look at this one: never after `online_until`, where it is
-- online. A heartbeat moves `online_until` alone, which no index has; the look moves this on. 0: at once.
ALTER TABLE device_states ADD COLUMN online_check_at INTEGER NOT NULL DEFAULT 0;
CREATE INDEX device_states_to_check ON device_states (online_check_at) WHERE online = 1;
DROP INDEX device_states_online;

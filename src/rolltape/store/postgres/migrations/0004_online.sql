-- When (ms) whoever looks for devices that went silent has to look at this one: never after `online_until`, where it is
-- online. A heartbeat moves `online_until` alone, which no index has, so that its row stays on its page (HOT); the look
-- moves this on. 0: at once, as where a node that doesn't know it yet brought the device online.
ALTER TABLE device_states ADD COLUMN IF NOT EXISTS online_check_at BIGINT NOT NULL DEFAULT 0;
DROP INDEX CONCURRENTLY IF EXISTS device_states_to_check;
CREATE INDEX CONCURRENTLY device_states_to_check ON device_states (online_check_at) WHERE online = 1;
DROP INDEX CONCURRENTLY IF EXISTS device_states_online;

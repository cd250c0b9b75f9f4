-- What has aged is found by its age, however large the history is. An open command costs no entry here, nor does a
-- command's event. CONCURRENTLY: the nodes that serve meanwhile go on; what a broken-off try left is dropped first.

DROP INDEX CONCURRENTLY IF EXISTS commands_aged;
CREATE INDEX CONCURRENTLY commands_aged
    ON commands ((CASE WHEN reported_at > expires_at THEN reported_at ELSE expires_at END))
    WHERE status NOT IN ('pending', 'delivered');
DROP INDEX CONCURRENTLY IF EXISTS events_aged;
CREATE INDEX CONCURRENTLY events_aged ON events (created_at) WHERE command_id IS NULL;
DROP INDEX CONCURRENTLY IF EXISTS device_tokens_ended;
CREATE INDEX CONCURRENTLY device_tokens_ended ON device_tokens (ended_at) WHERE ended_at IS NOT NULL;
-- Idempotency keys are let go of when they come again, and with their command: nobody looks for old ones.
DROP INDEX CONCURRENTLY IF EXISTS commands_with_key;

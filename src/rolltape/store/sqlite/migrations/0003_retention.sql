-- What has aged is found by its age, however large the history is. An open command costs no entry here, nor does a
-- command's event.

CREATE INDEX commands_aged ON commands ((CASE WHEN reported_at > expires_at THEN reported_at ELSE expires_at END))
    WHERE status NOT IN ('pending', 'delivered');
CREATE INDEX events_aged ON events (created_at) WHERE command_id IS NULL;
CREATE INDEX device_tokens_ended ON device_tokens (ended_at) WHERE ended_at IS NOT NULL;

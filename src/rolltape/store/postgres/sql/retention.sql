-- name: delete_claims
DELETE FROM claims WHERE command_id = ANY (ARRAY(SELECT json_array_elements_text(:ids::json)))

-- name: delete_history
DELETE FROM events WHERE command_id = ANY (ARRAY(SELECT json_array_elements_text(:ids::json)))

-- name: delete_commands
DELETE FROM commands AS c USING json_to_recordset(:rows::json) AS gone (device_id TEXT, n BIGINT)
WHERE c.device_id = gone.device_id AND c.n = gone.n

-- name: delete_events
DELETE FROM events WHERE n = ANY (ARRAY(
    SELECT n FROM events WHERE command_id IS NULL AND created_at <= ? ORDER BY created_at LIMIT ?
    FOR UPDATE SKIP LOCKED
))

-- name: delete_tokens
DELETE FROM device_tokens WHERE n = ANY (ARRAY(
    SELECT n FROM device_tokens WHERE ended_at <= ? ORDER BY ended_at LIMIT ? FOR UPDATE SKIP LOCKED
))

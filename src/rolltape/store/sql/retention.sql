-- name: aged_commands
-- By the index commands_aged, which has the same words.
SELECT device_id, n, id FROM commands
WHERE status NOT IN ('pending', 'delivered')
  AND CASE WHEN reported_at > expires_at THEN reported_at ELSE expires_at END <= ?
ORDER BY CASE WHEN reported_at > expires_at THEN reported_at ELSE expires_at END
LIMIT ?

-- name: delete_claims
DELETE FROM claims WHERE command_id IN (SELECT value FROM json_each(:ids))

-- name: delete_history
DELETE FROM events WHERE command_id IN (SELECT value FROM json_each(:ids))

-- name: delete_commands
DELETE FROM commands WHERE n IN (SELECT value ->> '$.n' FROM json_each(:rows))

-- name: delete_events
DELETE FROM events WHERE n IN (
    SELECT n FROM events WHERE command_id IS NULL AND created_at <= ? ORDER BY created_at LIMIT ?
)

-- name: delete_tokens
DELETE FROM device_tokens WHERE n IN (SELECT n FROM device_tokens WHERE ended_at <= ? ORDER BY ended_at LIMIT ?)

-- name: append
INSERT INTO events (id, tenant_n, device_id, command_id, type, previous_status, created_at, data)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)

-- name: of_command
SELECT n, id, type, previous_status, created_at, data
FROM events
WHERE command_id = ? AND tenant_n = ? AND n > ?
ORDER BY n
LIMIT ?

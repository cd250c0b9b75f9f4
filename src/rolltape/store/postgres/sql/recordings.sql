-- name: command
-- Without its device, a command is found by its first event.
SELECT device_id, generation, params FROM commands
WHERE device_id = (SELECT device_id FROM events WHERE command_id = :id ORDER BY n LIMIT 1)
  AND id = :id AND tenant_n = :tenant_n

-- name: end_user_exists
SELECT 1 FROM end_users WHERE id = ? AND tenant_n = ? FOR KEY SHARE

-- name: end_run
UPDATE device_states SET rec_active = 0, rec_as_of = greatest(rec_as_of, ?)
WHERE device_id = ? AND rec_id = ? AND rec_active = 1

-- name: end_user_exists
SELECT 1 FROM end_users WHERE id = ? AND tenant_n = ?

-- name: bind
UPDATE device_bindings SET generation = max(generation, generation_floor) + 1, end_user_id = ?, held_kids = ?
WHERE device_id = ? AND end_user_id IS NULL
RETURNING generation

-- name: refresh_held_kids
UPDATE device_bindings SET held_kids = ? WHERE device_id = ?

-- name: remember_binding
INSERT INTO binding_history (device_id, generation, end_user_id, secret_sealed, bound_at) VALUES (?, ?, ?, ?, ?)

-- name: secret
SELECT secret_sealed FROM binding_history WHERE device_id = ? AND generation = ?

-- name: set_pk_d
UPDATE devices SET pk_d = ? WHERE id = ?

-- name: touch_device
UPDATE devices SET updated_at = ? WHERE id = ?

-- name: forget_recording
UPDATE device_states
SET rec_active = NULL, rec_id = NULL, rec_started_at = NULL, rec_initiated_by = NULL, rec_until = NULL,
    rec_as_of = NULL, rec_evidence = NULL
WHERE device_id = ?

-- name: lasts
SELECT 1 FROM device_bindings WHERE device_id = ? AND generation = ? AND end_user_id IS NOT NULL

-- name: end_binding
UPDATE device_bindings SET end_user_id = NULL WHERE device_id = ? AND generation = ? AND end_user_id IS NOT NULL

-- name: close_binding_history
UPDATE binding_history SET ended_at = ? WHERE device_id = ? AND generation = ? AND ended_at IS NULL

-- name: end_tokens
UPDATE device_tokens SET ended_at = ? WHERE device_id = ? AND generation = ? AND ended_at IS NULL

-- name: open_stop
SELECT 1 FROM commands
WHERE device_id = ? AND status IN ('pending', 'delivered') AND type = 'stop_recording'
LIMIT 1

-- name: open_reset
SELECT id FROM commands
WHERE device_id = ? AND status IN ('pending', 'delivered') AND type = 'factory_reset'
LIMIT 1

-- name: insert_token
INSERT INTO device_tokens (device_id, tenant_n, generation, hash, created_at) VALUES (?, ?, ?, ?, ?)

-- name: token_by_hash
SELECT t.n, t.tenant_n, d.project_id, d.mode, t.device_id, t.generation, t.first_used_at, t.replaced_at, t.ended_at,
       v.heartbeat_sec, v.grant_alg, b.held_kids
FROM device_tokens AS t
JOIN tenants AS d ON d.n = t.tenant_n
JOIN devices AS v ON v.id = t.device_id
JOIN device_bindings AS b ON b.device_id = t.device_id
WHERE t.hash = ?

-- name: bound
SELECT b.tenant_n, t.project_id, t.mode, b.device_id, b.generation, v.heartbeat_sec, v.grant_alg, b.held_kids,
       s.mqtt_until
FROM device_bindings AS b
JOIN tenants AS t ON t.n = b.tenant_n
JOIN devices AS v ON v.id = b.device_id
JOIN device_states AS s ON s.device_id = b.device_id
WHERE b.device_id = ? AND b.end_user_id IS NOT NULL

-- name: use_token
UPDATE device_tokens SET first_used_at = ? WHERE n = ? AND first_used_at IS NULL

-- name: replace_older_tokens
UPDATE device_tokens SET replaced_at = ?
WHERE device_id = ? AND generation = ? AND n < ? AND replaced_at IS NULL

-- name: note_reuse
UPDATE device_tokens SET reused_at = ? WHERE n = ? AND reused_at IS NULL

-- name: prune_tokens
DELETE FROM device_tokens
WHERE device_id = ? AND generation = ? AND (first_used_at IS NULL OR replaced_at IS NOT NULL) AND n <= (
    SELECT n FROM device_tokens WHERE device_id = ? AND generation = ? ORDER BY n DESC LIMIT 1 OFFSET ?
)

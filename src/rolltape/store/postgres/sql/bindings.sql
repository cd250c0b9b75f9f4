-- name: end_user_exists
-- It is still there when this transaction ends, too.
SELECT 1 FROM end_users WHERE id = ? AND tenant_n = ? FOR KEY SHARE

-- name: bind
UPDATE device_bindings
SET generation = greatest(generation, generation_floor) + 1, end_user_id = ?, held_kids = ?
WHERE device_id = ? AND end_user_id IS NULL
RETURNING generation

-- name: touch_key
UPDATE api_keys SET last_used_at = greatest(last_used_at, ?) WHERE n = ?

-- name: hold_end_user
SELECT 1 FROM end_users WHERE id = ? AND tenant_n = ? FOR UPDATE

-- name: insert_project
INSERT INTO projects (id, name, created_at) VALUES (?, ?, ?)

-- name: insert_tenant
INSERT INTO tenants (project_id, mode) VALUES (?, ?)

-- name: projects
SELECT id, name, created_at FROM projects ORDER BY created_at, id

-- name: first_project
SELECT id FROM projects ORDER BY created_at, id LIMIT 1

-- name: project_exists
SELECT 1 FROM projects WHERE id = ?

-- name: tenant
SELECT n FROM tenants WHERE project_id = ? AND mode = ?

-- name: insert_key
INSERT INTO api_keys (id, tenant_n, hash, name, scopes, created_at) VALUES (?, ?, ?, ?, ?, ?)

-- name: key_by_hash
SELECT k.n, k.id, k.tenant_n, t.project_id, t.mode, k.name, k.scopes, k.created_at, k.last_used_at, k.revoked_at
FROM api_keys AS k JOIN tenants AS t ON t.n = k.tenant_n
WHERE k.hash = ?

-- name: key_by_id
SELECT k.n, k.id, k.tenant_n, t.project_id, t.mode, k.name, k.scopes, k.created_at, k.last_used_at, k.revoked_at
FROM api_keys AS k JOIN tenants AS t ON t.n = k.tenant_n
WHERE k.id = ?

-- name: list_keys
SELECT k.n, k.id, k.tenant_n, t.project_id, t.mode, k.name, k.scopes, k.created_at, k.last_used_at, k.revoked_at
FROM api_keys AS k JOIN tenants AS t ON t.n = k.tenant_n
WHERE k.tenant_n = ? AND k.revoked_at IS NULL AND k.n < ?
ORDER BY k.n DESC LIMIT ?

-- name: all_keys
SELECT k.n, k.id, k.tenant_n, t.project_id, t.mode, k.name, k.scopes, k.created_at, k.last_used_at, k.revoked_at
FROM api_keys AS k JOIN tenants AS t ON t.n = k.tenant_n
WHERE k.revoked_at IS NULL
ORDER BY k.n DESC

-- name: revoke_key
UPDATE api_keys SET revoked_at = ? WHERE id = ? AND tenant_n = ? AND revoked_at IS NULL

-- name: revoke_key_of_any_tenant
UPDATE api_keys SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL

-- name: touch_key
UPDATE api_keys SET last_used_at = max(coalesce(last_used_at, 0), ?) WHERE n = ?

-- name: insert_end_user
INSERT INTO end_users (id, tenant_n, external_id, name, email, metadata, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)

-- name: external_id_taken
SELECT id FROM end_users WHERE tenant_n = ? AND external_id = ?

-- name: end_user
SELECT u.n, u.id, t.project_id, u.external_id, u.name, u.email, u.metadata, u.created_at
FROM end_users AS u JOIN tenants AS t ON t.n = u.tenant_n
WHERE u.id = ? AND u.tenant_n = ?

-- name: list_end_users
SELECT u.n, u.id, t.project_id, u.external_id, u.name, u.email, u.metadata, u.created_at
FROM end_users AS u JOIN tenants AS t ON t.n = u.tenant_n
WHERE u.tenant_n = ? AND u.n < ?
ORDER BY u.n DESC LIMIT ?

-- name: list_end_users_by_external_id
SELECT u.n, u.id, t.project_id, u.external_id, u.name, u.email, u.metadata, u.created_at
FROM end_users AS u JOIN tenants AS t ON t.n = u.tenant_n
WHERE u.tenant_n = ? AND u.n < ? AND u.external_id = ?
ORDER BY u.n DESC LIMIT ?

-- name: hold_end_user
SELECT 1 FROM end_users WHERE id = ? AND tenant_n = ?

-- name: delete_end_user
DELETE FROM end_users WHERE id = ? AND tenant_n = ?

-- name: signing_keys
SELECT kid, public, private_sealed, created_at FROM signing_keys ORDER BY created_at, kid

-- name: insert_signing_key
INSERT INTO signing_keys (kid, public, private_sealed, created_at) VALUES (?, ?, ?, ?)

-- name: meta
SELECT value FROM meta WHERE key = ?

-- name: set_meta
INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value

-- name: set_meta_once
INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO NOTHING

-- name: forget_meta
DELETE FROM meta WHERE key = ?

-- name: insert
INSERT INTO devices (id, tenant_n, serial_number, model, name, firmware_version, connection, grant_alg, public_key,
                     metadata, settings, heartbeat_sec, created_at, updated_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '{}', ?, ?, ?)

-- name: insert_binding
INSERT INTO device_bindings (device_id, tenant_n, generation, end_user_id, held_kids, last_seq, last_stop_seq,
                             last_ended_stop_seq)
VALUES (?, ?, 0, NULL, '[]', 0, 0, 0)

-- name: insert_state
INSERT INTO device_states (device_id, tenant_n) VALUES (?, ?)

-- name: id_by_serial
SELECT id FROM devices WHERE tenant_n = ? AND serial_number = ? AND deleted_at IS NULL

-- name: select
SELECT d.n, d.id, d.tenant_n, t.project_id, d.serial_number, d.model, coalesce(d.name, s.device_name),
       d.firmware_version, d.connection, d.grant_alg, d.public_key, d.metadata, d.settings, d.heartbeat_sec,
       b.generation, b.end_user_id, b.held_kids, b.last_seq, b.last_stop_seq, d.created_at, d.updated_at,
       s.battery_percent, s.storage_used_mb, s.storage_total_mb, s.signal_strength_dbm, s.device_state,
       s.pending_recordings, s.flags, s.connection_type, s.last_heartbeat_at, s.online_until, s.next_contact_at,
       s.last_seen_by, s.rec_active, s.rec_id, s.rec_started_at, s.rec_initiated_by, s.rec_until, s.rec_as_of,
       s.rec_evidence
FROM devices AS d
JOIN tenants AS t ON t.n = d.tenant_n
JOIN device_bindings AS b ON b.device_id = d.id
JOIN device_states AS s ON s.device_id = d.id

-- name: where_mine
WHERE d.id = ? AND d.tenant_n = ? AND d.deleted_at IS NULL

-- name: where_any
WHERE d.id = ?

-- name: exists
SELECT 1 FROM devices WHERE id = ? AND tenant_n = ? AND deleted_at IS NULL

-- name: where_listed
WHERE d.tenant_n = :tenant_n AND d.deleted_at IS NULL AND d.n < :below

-- name: and_bound
AND b.end_user_id IS NOT NULL

-- name: and_unbound
AND b.end_user_id IS NULL

-- name: and_end_user
AND d.id IN (
    SELECT device_id FROM device_bindings WHERE tenant_n = :tenant_n AND end_user_id = :end_user_id
)

-- name: and_online
AND s.online_until > :now

-- name: and_offline
AND s.online_until <= :now

-- name: and_serial
AND d.serial_number = :serial_number

-- name: order_listed
ORDER BY d.n DESC LIMIT :limit

-- name: update
UPDATE devices SET name = ?, firmware_version = ?, metadata = ?, settings = ?, heartbeat_sec = ?, updated_at = ?
WHERE id = ?

-- name: own_name
SELECT name FROM devices WHERE id = ?

-- name: mark_deleted
UPDATE devices SET deleted_at = ?, updated_at = ? WHERE id = ? AND deleted_at IS NULL

-- name: stats
SELECT count(*),
       coalesce(sum(b.end_user_id IS NOT NULL), 0),
       coalesce(sum(s.online_until > :now), 0),
       coalesce(sum(s.online_until > :now AND s.rec_active = 1 AND (s.rec_until IS NULL OR s.rec_until > :now)), 0),
       coalesce(sum(s.battery_percent < 15), 0),
       coalesce(sum(s.storage_total_mb > 0 AND s.storage_used_mb > 0.9 * s.storage_total_mb), 0)
FROM devices AS d
JOIN device_bindings AS b ON b.device_id = d.id
JOIN device_states AS s ON s.device_id = d.id
WHERE d.tenant_n = :tenant_n AND d.deleted_at IS NULL

-- name: count_open_commands
SELECT count(*) FROM commands WHERE tenant_n = ? AND status IN ('pending', 'delivered')

-- name: open_reset
SELECT n, id, tenant_n, device_id, generation, seq, type, status, params, result, error_code, error_message, created_at,
       expires_at, delivered_at, executed_at, reported_at, route, offers, offered_routes, last_offered_at, evidence,
       relay_grants_until
FROM commands
WHERE device_id = ? AND status IN ('pending', 'delivered') AND type = 'factory_reset'
LIMIT 1

-- name: of_end_user
SELECT device_id FROM device_bindings WHERE tenant_n = ? AND end_user_id = ?

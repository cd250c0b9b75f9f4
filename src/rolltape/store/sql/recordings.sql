-- name: select
SELECT r.n, r.id, r.tenant_n, r.project_id, r.device_id, r.generation, r.end_user_id, r.command_id, r.name, r.source,
       r.status, r.started_at, r.ended_at, r.duration_ms, r.own_metadata, r.command_metadata, r.file_size_bytes,
       r.content_sha256, r.verified_at, r.created_at, m.id, m.content_type, m.declared_size, m.status
FROM recordings AS r
LEFT JOIN media AS m ON m.recording_n = r.n

-- name: where_id
WHERE r.id = ? AND r.tenant_n = ?

-- name: where_project
WHERE r.project_id = ? AND r.id = ?

-- name: where_end_user
WHERE r.tenant_n = ? AND r.end_user_id = ?

-- name: by_media
SELECT r.n, r.id, r.tenant_n, r.project_id, r.device_id, r.generation, r.end_user_id, r.command_id, r.name, r.source,
       r.status, r.started_at, r.ended_at, r.duration_ms, r.own_metadata, r.command_metadata, r.file_size_bytes,
       r.content_sha256, r.verified_at, r.created_at, m.id, m.content_type, m.declared_size, m.status
FROM media AS m
JOIN recordings AS r ON r.n = m.recording_n
WHERE m.id = ? AND m.tenant_n = ?

-- name: where_listed
WHERE r.tenant_n = :tenant_n AND r.n < :below

-- name: and_device_id
AND r.device_id = :device_id

-- name: and_end_user_id
AND r.end_user_id = :end_user_id

-- name: and_command_id
AND r.command_id = :command_id

-- name: and_status
AND r.status = :status

-- name: and_not_uploaded
AND r.status <> 'uploaded'

-- name: order_listed
ORDER BY r.n DESC
LIMIT :limit

-- name: is_deleted
SELECT 1 FROM recordings_deleted WHERE project_id = ? AND id = ?

-- name: insert
INSERT INTO recordings (id, tenant_n, project_id, device_id, generation, end_user_id, command_id, name, source,
                        upload_method, made_by, status, started_at, ended_at, own_metadata, command_metadata, created_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'pending', ?, ?, ?, ?, ?)

-- name: command
SELECT device_id, generation, params FROM commands WHERE id = :id AND tenant_n = :tenant_n

-- name: device_exists
SELECT 1 FROM devices WHERE id = ? AND tenant_n = ? AND deleted_at IS NULL

-- name: end_user_exists
SELECT 1 FROM end_users WHERE id = ? AND tenant_n = ?

-- name: end_user_of_generation
SELECT end_user_id FROM binding_history WHERE device_id = ? AND generation = ?

-- name: last_generation_of_end_user
SELECT max(generation) FROM binding_history WHERE device_id = ? AND end_user_id = ?

-- name: binding_at
SELECT generation, end_user_id FROM binding_history
WHERE device_id = :device_id AND bound_at <= :began AND (ended_at IS NULL OR ended_at > :began)
ORDER BY generation DESC
LIMIT 1

-- name: present_binding
SELECT generation, end_user_id FROM device_bindings WHERE device_id = ?

-- name: end_run
UPDATE device_states SET rec_active = 0, rec_as_of = max(coalesce(rec_as_of, 0), ?)
WHERE device_id = ? AND rec_id = ? AND rec_active = 1

-- name: insert_media
INSERT INTO media (id, recording_n, tenant_n, content_type, declared_size, status, created_at)
VALUES (?, ?, ?, ?, ?, 'pending', ?)
ON CONFLICT (recording_n) DO NOTHING

-- name: change_media
UPDATE media SET content_type = ?, declared_size = ?
WHERE id = ? AND status <> 'uploaded'

-- name: complete
UPDATE recordings
SET status = 'uploaded', file_size_bytes = ?, content_sha256 = ?, verified_at = ?,
    duration_ms = coalesce(?, duration_ms), ended_at = coalesce(?, ended_at)
WHERE n = ? AND status IN ('pending', 'integrity_failure', 'failed')

-- name: complete_media
UPDATE media SET status = 'uploaded', file_size_bytes = ?, content_sha256 = ?
WHERE recording_n = ?

-- name: fail
UPDATE recordings SET status = 'integrity_failure'
WHERE n = ? AND status IN ('pending', 'integrity_failure', 'failed')

-- name: fail_media
UPDATE media SET status = 'integrity_failure' WHERE recording_n = ? AND status <> 'uploaded'

-- name: delete
DELETE FROM recordings WHERE n = ?

-- name: devices_of_end_user
SELECT DISTINCT device_id FROM recordings WHERE tenant_n = ? AND end_user_id = ? AND device_id IS NOT NULL

-- name: remember_deleted
INSERT INTO recordings_deleted (project_id, id) VALUES (?, ?) ON CONFLICT DO NOTHING

-- name: queue_bytes
INSERT INTO media_to_delete (media_id, since) VALUES (?, ?) ON CONFLICT DO NOTHING

-- name: bytes_to_delete
SELECT media_id FROM media_to_delete ORDER BY since LIMIT ?

-- name: bytes_are_deleted
DELETE FROM media_to_delete WHERE media_id = ?

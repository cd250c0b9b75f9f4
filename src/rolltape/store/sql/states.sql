-- name: online
SELECT online FROM device_states WHERE device_id = ?

-- name: update
UPDATE device_states
SET battery_percent = coalesce(:battery_percent, battery_percent),
    storage_used_mb = coalesce(:storage_used_mb, storage_used_mb),
    storage_total_mb = coalesce(:storage_total_mb, storage_total_mb),
    signal_strength_dbm = coalesce(:signal_strength_dbm, signal_strength_dbm),
    device_name = coalesce(:device_name, device_name),
    device_state = coalesce(:device_state, device_state),
    pending_recordings = coalesce(:pending_recordings, pending_recordings),
    flags = coalesce(:flags, flags),
    connection_type = coalesce(:connection_type, connection_type),
    last_heartbeat_at = coalesce(:last_heartbeat_at, last_heartbeat_at),
    online_until = CASE WHEN :online_until > 0 AND online_until > :online_until + :slack THEN :online_until
                        ELSE max(:online_until, online_until) END, -- farther ahead: the clock was set back since
    online = online OR :online_until > 0,
    next_contact_at = coalesce(:next_contact_at, next_contact_at),
    last_seen_by = coalesce(:last_seen_by, last_seen_by),
    mqtt_until = coalesce(:mqtt_until, mqtt_until)
WHERE device_id = :device_id

-- name: update_firmware
UPDATE devices SET firmware_version = :firmware_version, updated_at = :now
WHERE id = :device_id AND firmware_version IS DISTINCT FROM :firmware_version

-- name: says_recording
-- A start may have been reported without its recording's id: then the recording that is named now is that one.
UPDATE device_states
SET rec_until = CASE WHEN coalesce(:rec_initiated_by,
                                   CASE WHEN rec_id = :rec_id OR rec_active = 1 AND rec_id IS NULL
                                        THEN rec_initiated_by END,
                                   'local') <> 'remote' THEN NULL
                     WHEN rec_active = 1 AND (rec_id = :rec_id OR rec_id IS NULL) THEN coalesce(rec_until, :rec_until)
                     ELSE :rec_until END,
    rec_active = 1, rec_id = :rec_id,
    rec_started_at = coalesce(:rec_started_at,
                              CASE WHEN rec_id = :rec_id OR rec_active = 1 AND rec_id IS NULL THEN rec_started_at END),
    rec_initiated_by = coalesce(:rec_initiated_by,
                                CASE WHEN rec_id = :rec_id OR rec_active = 1 AND rec_id IS NULL THEN rec_initiated_by END,
                                'local'),
    rec_as_of = :rec_as_of, rec_evidence = :rec_evidence
WHERE device_id = :device_id AND coalesce(rec_as_of, 0) NOT BETWEEN :rec_as_of + 1 AND :rec_as_of + :slack

-- name: says_idle
UPDATE device_states
SET rec_active = 0, rec_until = NULL, rec_as_of = :rec_as_of, rec_evidence = :rec_evidence
WHERE device_id = :device_id AND coalesce(rec_as_of, 0) NOT BETWEEN :rec_as_of + 1 AND :rec_as_of + :slack

-- name: recording_began
UPDATE device_states
SET rec_active = 1, rec_id = ?, rec_started_at = ?, rec_initiated_by = 'remote', rec_until = ?, rec_as_of = ?,
    rec_evidence = ?
WHERE device_id = ?

-- name: runs
SELECT 1 FROM device_states WHERE device_id = ? AND rec_active = 1 AND (rec_until IS NULL OR rec_until > ?)

-- name: recording_ended
UPDATE device_states
SET rec_active = 0, rec_until = NULL, rec_as_of = ?, rec_evidence = ?
WHERE device_id = ? AND rec_active = 1

-- name: this_recording_ended
UPDATE device_states
SET rec_active = 0, rec_until = NULL, rec_as_of = ?, rec_evidence = ?
WHERE device_id = ? AND rec_active = 1 AND rec_id IS NOT DISTINCT FROM ?

-- name: recording_has_ended
SELECT 1 FROM recordings WHERE device_id = ? AND id = ? AND ended_at IS NOT NULL

-- name: gone
SELECT device_id FROM device_states WHERE online = 1 AND online_until <= ? LIMIT ?

-- name: mark_offline
UPDATE device_states SET online = 0 WHERE device_id = ? AND online = 1 AND online_until <= ?

-- name: gauges
SELECT (SELECT count(*) FROM device_bindings WHERE end_user_id IS NOT NULL),
       (SELECT count(*) FROM device_states WHERE online = 1 AND online_until > :now),
       (SELECT count(*) FROM commands WHERE status IN ('pending', 'delivered'))

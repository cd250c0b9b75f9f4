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
    online_until = CASE WHEN :online_until::bigint > 0 AND online_until > :online_until::bigint + :slack::bigint
                        THEN :online_until::bigint
                        ELSE greatest(:online_until::bigint, online_until) END,
    online = CASE WHEN :online_until::bigint > 0 THEN 1 ELSE online END,
    next_contact_at = coalesce(:next_contact_at, next_contact_at),
    last_seen_by = coalesce(:last_seen_by, last_seen_by),
    mqtt_until = coalesce(:mqtt_until, mqtt_until)
WHERE device_id = :device_id

-- name: says_recording
UPDATE device_states
SET rec_until = CASE WHEN coalesce(:rec_initiated_by::text,
                                   CASE WHEN rec_id = :rec_id OR rec_active = 1 AND rec_id IS NULL
                                        THEN rec_initiated_by END,
                                   'local') <> 'remote' THEN NULL
                     WHEN rec_active = 1 AND (rec_id = :rec_id OR rec_id IS NULL)
                     THEN coalesce(rec_until, :rec_until::bigint)
                     ELSE :rec_until::bigint END,
    rec_active = 1, rec_id = :rec_id,
    rec_started_at = coalesce(:rec_started_at::bigint,
                              CASE WHEN rec_id = :rec_id OR rec_active = 1 AND rec_id IS NULL THEN rec_started_at END),
    rec_initiated_by = coalesce(:rec_initiated_by::text,
                                CASE WHEN rec_id = :rec_id OR rec_active = 1 AND rec_id IS NULL THEN rec_initiated_by END,
                                'local'),
    rec_as_of = :rec_as_of, rec_evidence = :rec_evidence
WHERE device_id = :device_id
  AND coalesce(rec_as_of, 0) NOT BETWEEN :rec_as_of::bigint + 1 AND :rec_as_of::bigint + :slack::bigint

-- name: says_idle
UPDATE device_states
SET rec_active = 0, rec_until = NULL, rec_as_of = :rec_as_of, rec_evidence = :rec_evidence
WHERE device_id = :device_id
  AND coalesce(rec_as_of, 0) NOT BETWEEN :rec_as_of::bigint + 1 AND :rec_as_of::bigint + :slack::bigint

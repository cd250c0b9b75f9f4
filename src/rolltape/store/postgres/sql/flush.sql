-- What devices said of themselves, for many devices at once.

-- name: offline
SELECT device_id FROM device_states WHERE device_id = ANY ($1::text[]) AND online = 0

-- name: update
WITH was AS (
    SELECT device_id, online FROM device_states WHERE device_id = ANY ($1::text[]) ORDER BY device_id FOR NO KEY UPDATE
)
UPDATE device_states AS s
SET battery_percent = coalesce(a.battery_percent, s.battery_percent),
    storage_used_mb = coalesce(a.storage_used_mb, s.storage_used_mb),
    storage_total_mb = coalesce(a.storage_total_mb, s.storage_total_mb),
    signal_strength_dbm = coalesce(a.signal_strength_dbm, s.signal_strength_dbm),
    device_name = coalesce(a.device_name, s.device_name),
    device_state = coalesce(a.device_state, s.device_state),
    pending_recordings = coalesce(a.pending_recordings, s.pending_recordings),
    flags = coalesce(a.flags, s.flags),
    connection_type = coalesce(a.connection_type, s.connection_type),
    last_heartbeat_at = coalesce(a.last_heartbeat_at, s.last_heartbeat_at),
    online_until = CASE WHEN a.online_until > 0 AND s.online_until > a.online_until + a.slack THEN a.online_until
                        ELSE greatest(a.online_until, s.online_until) END,
    online = CASE WHEN a.online_until > 0 THEN 1 ELSE s.online END,
    next_contact_at = coalesce(a.next_contact_at, s.next_contact_at),
    last_seen_by = coalesce(a.last_seen_by, s.last_seen_by),
    mqtt_until = coalesce(a.mqtt_until, s.mqtt_until)
FROM was
JOIN unnest($1::text[], $2::bigint[], $3::int[], $4::float8[], $5::float8[], $6::int[], $7::text[], $8::text[],
            $9::bigint[], $10::int[], $11::text[], $12::bigint[], $13::bigint[], $14::text[], $15::bigint[], $16::bigint[])
     AS a (device_id, online_until, battery_percent, storage_used_mb, storage_total_mb, signal_strength_dbm, device_name,
           device_state, pending_recordings, flags, connection_type, last_heartbeat_at, next_contact_at, last_seen_by,
           mqtt_until, slack) ON a.device_id = was.device_id
WHERE s.device_id = was.device_id
RETURNING s.device_id, was.online

-- name: firmware
UPDATE devices AS d SET firmware_version = a.version, updated_at = a.now
FROM unnest($1::text[], $2::text[], $3::bigint[]) AS a (device_id, version, now)
WHERE d.id = a.device_id AND d.firmware_version IS DISTINCT FROM a.version

-- name: idle
UPDATE device_states AS s
SET rec_active = 0, rec_until = NULL, rec_as_of = a.as_of, rec_evidence = a.evidence
FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[]) AS a (device_id, as_of, evidence, slack)
WHERE s.device_id = a.device_id AND coalesce(s.rec_as_of, 0) NOT BETWEEN a.as_of + 1 AND a.as_of + a.slack

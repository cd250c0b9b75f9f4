-- What devices said of themselves, for many devices at once.

-- name: offline
SELECT device_id FROM device_states WHERE device_id = ANY ($1::text[]) AND online = 0

-- name: update
-- No index has any of these columns, so the new version of a row stays in its page, and no index is written (HOT). Rows
-- are taken in the order of the arrays, as each is looked up by its key: two nodes that write at once don't deadlock.
-- Another node may have written already what the device said to it later: then that stands.
WITH written AS (
    UPDATE device_states AS s
    SET online_until = CASE WHEN a.online_until > 0 AND s.online_until > a.online_until + $18::bigint
                            THEN a.online_until ELSE greatest(a.online_until, s.online_until) END,
        online_check_at = CASE WHEN a.online_until > 0 AND s.online_until > a.online_until + $18
                               THEN least(a.online_until, s.online_check_at) ELSE s.online_check_at END,
        battery_percent = CASE WHEN s.last_heartbeat_at BETWEEN a.last_heartbeat_at + 1 AND a.last_heartbeat_at + $18
                               THEN coalesce(s.battery_percent, a.battery_percent)
                               ELSE coalesce(a.battery_percent, s.battery_percent) END,
        storage_used_mb = CASE WHEN s.last_heartbeat_at BETWEEN a.last_heartbeat_at + 1 AND a.last_heartbeat_at + $18
                               THEN coalesce(s.storage_used_mb, a.storage_used_mb)
                               ELSE coalesce(a.storage_used_mb, s.storage_used_mb) END,
        storage_total_mb = CASE WHEN s.last_heartbeat_at BETWEEN a.last_heartbeat_at + 1 AND a.last_heartbeat_at + $18
                                THEN coalesce(s.storage_total_mb, a.storage_total_mb)
                                ELSE coalesce(a.storage_total_mb, s.storage_total_mb) END,
        signal_strength_dbm = CASE WHEN s.last_heartbeat_at BETWEEN a.last_heartbeat_at + 1 AND a.last_heartbeat_at + $18
                                   THEN coalesce(s.signal_strength_dbm, a.signal_strength_dbm)
                                   ELSE coalesce(a.signal_strength_dbm, s.signal_strength_dbm) END,
        device_name = CASE WHEN s.last_heartbeat_at BETWEEN a.last_heartbeat_at + 1 AND a.last_heartbeat_at + $18
                           THEN coalesce(s.device_name, a.device_name) ELSE coalesce(a.device_name, s.device_name) END,
        device_state = CASE WHEN s.last_heartbeat_at BETWEEN a.last_heartbeat_at + 1 AND a.last_heartbeat_at + $18
                            THEN coalesce(s.device_state, a.device_state)
                            ELSE coalesce(a.device_state, s.device_state) END,
        pending_recordings = CASE WHEN s.last_heartbeat_at BETWEEN a.last_heartbeat_at + 1 AND a.last_heartbeat_at + $18
                                  THEN coalesce(s.pending_recordings, a.pending_recordings)
                                  ELSE coalesce(a.pending_recordings, s.pending_recordings) END,
        flags = CASE WHEN s.last_heartbeat_at BETWEEN a.last_heartbeat_at + 1 AND a.last_heartbeat_at + $18
                     THEN coalesce(s.flags, a.flags) ELSE coalesce(a.flags, s.flags) END,
        connection_type = CASE WHEN s.last_heartbeat_at BETWEEN a.last_heartbeat_at + 1 AND a.last_heartbeat_at + $18
                               THEN coalesce(s.connection_type, a.connection_type)
                               ELSE coalesce(a.connection_type, s.connection_type) END,
        last_heartbeat_at = CASE WHEN s.last_heartbeat_at BETWEEN a.last_heartbeat_at + 1 AND a.last_heartbeat_at + $18
                                 THEN coalesce(s.last_heartbeat_at, a.last_heartbeat_at)
                                 ELSE coalesce(a.last_heartbeat_at, s.last_heartbeat_at) END,
        next_contact_at = CASE WHEN s.last_heartbeat_at BETWEEN a.last_heartbeat_at + 1 AND a.last_heartbeat_at + $18
                               THEN coalesce(s.next_contact_at, a.next_contact_at)
                               ELSE coalesce(a.next_contact_at, s.next_contact_at) END,
        last_seen_by = CASE WHEN s.last_heartbeat_at BETWEEN a.last_heartbeat_at + 1 AND a.last_heartbeat_at + $18
                            THEN coalesce(s.last_seen_by, a.last_seen_by)
                            ELSE coalesce(a.last_seen_by, s.last_seen_by) END,
        mqtt_until = CASE WHEN s.last_heartbeat_at BETWEEN a.last_heartbeat_at + 1 AND a.last_heartbeat_at + $18
                          THEN coalesce(s.mqtt_until, a.mqtt_until) ELSE coalesce(a.mqtt_until, s.mqtt_until) END,
        rec_active = CASE WHEN a.idle_as_of IS NULL OR s.rec_as_of BETWEEN a.idle_as_of + 1 AND a.idle_as_of + $18
                          THEN s.rec_active ELSE 0 END,
        rec_until = CASE WHEN a.idle_as_of IS NULL OR s.rec_as_of BETWEEN a.idle_as_of + 1 AND a.idle_as_of + $18
                         THEN s.rec_until END,
        rec_as_of = CASE WHEN a.idle_as_of IS NULL OR s.rec_as_of BETWEEN a.idle_as_of + 1 AND a.idle_as_of + $18
                         THEN s.rec_as_of ELSE a.idle_as_of END,
        rec_evidence = CASE WHEN a.idle_as_of IS NULL OR s.rec_as_of BETWEEN a.idle_as_of + 1 AND a.idle_as_of + $18
                            THEN s.rec_evidence ELSE a.idle_evidence END
    FROM unnest($1::text[], $2::bigint[], $3::int[], $4::float8[], $5::float8[], $6::int[], $7::text[], $8::text[],
                $9::bigint[], $10::int[], $11::text[], $12::bigint[], $13::bigint[], $14::text[], $15::bigint[],
                $16::bigint[], $17::text[])
         AS a (device_id, online_until, battery_percent, storage_used_mb, storage_total_mb, signal_strength_dbm,
               device_name, device_state, pending_recordings, flags, connection_type, last_heartbeat_at,
               next_contact_at, last_seen_by, mqtt_until, idle_as_of, idle_evidence)
    WHERE s.device_id = a.device_id
    RETURNING s.device_id, s.online
)
SELECT device_id FROM written WHERE online = 0

-- name: came_online
UPDATE device_states SET online = 1, online_check_at = online_until WHERE device_id = ANY ($1::text[])

-- name: firmware
UPDATE devices AS d SET firmware_version = a.version, updated_at = a.now
FROM unnest($1::text[], $2::text[], $3::bigint[]) AS a (device_id, version, now)
WHERE d.id = a.device_id AND d.firmware_version IS DISTINCT FROM a.version

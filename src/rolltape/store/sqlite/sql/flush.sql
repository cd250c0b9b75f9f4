-- What devices said of themselves since the last batch. Values go by place, which takes half as long as by name.

-- name: offline
SELECT device_id FROM device_states WHERE device_id IN (SELECT value FROM json_each(?)) AND online = 0

-- name: came_online
UPDATE device_states SET online = 1, online_check_at = online_until WHERE device_id = ?

-- name: update
-- 1: the device, 2: online until, 3: the slack; 15 and 16: as of when it says that it records nothing (NULL: it doesn't
-- say so), and on whose word. What lies farther ahead than the slack was noted before the clock was set back.
UPDATE device_states
SET online_until = CASE WHEN ?2 > 0 AND online_until > ?2 + ?3 THEN ?2 ELSE max(?2, online_until) END,
    online_check_at = CASE WHEN ?2 > 0 AND online_until > ?2 + ?3 THEN min(?2, online_check_at) ELSE online_check_at END,
    battery_percent = coalesce(?4, battery_percent),
    storage_used_mb = coalesce(?5, storage_used_mb),
    storage_total_mb = coalesce(?6, storage_total_mb),
    signal_strength_dbm = coalesce(?7, signal_strength_dbm),
    device_name = coalesce(?8, device_name),
    device_state = coalesce(?9, device_state),
    pending_recordings = coalesce(?10, pending_recordings),
    flags = coalesce(?11, flags),
    connection_type = coalesce(?12, connection_type),
    last_heartbeat_at = coalesce(?13, last_heartbeat_at),
    next_contact_at = coalesce(?14, next_contact_at),
    last_seen_by = coalesce(?17, last_seen_by),
    mqtt_until = coalesce(?18, mqtt_until),
    rec_active = CASE WHEN ?15 IS NULL OR rec_as_of BETWEEN ?15 + 1 AND ?15 + ?3 THEN rec_active ELSE 0 END,
    rec_until = CASE WHEN ?15 IS NULL OR rec_as_of BETWEEN ?15 + 1 AND ?15 + ?3 THEN rec_until END,
    rec_evidence = CASE WHEN ?15 IS NULL OR rec_as_of BETWEEN ?15 + 1 AND ?15 + ?3 THEN rec_evidence ELSE ?16 END,
    rec_as_of = CASE WHEN ?15 IS NULL OR rec_as_of BETWEEN ?15 + 1 AND ?15 + ?3 THEN rec_as_of ELSE ?15 END
WHERE device_id = ?1

-- name: firmware
UPDATE devices SET firmware_version = ?2, updated_at = ?3 WHERE id = ?1 AND firmware_version IS DISTINCT FROM ?2

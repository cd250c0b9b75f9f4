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

-- name: to_check
SELECT device_id, online_until <= ? FROM device_states WHERE online = 1 AND online_check_at <= ?
ORDER BY online_check_at LIMIT ?

-- name: check_later
UPDATE device_states SET online_check_at = online_until
WHERE device_id IN (SELECT value FROM json_each(:device_ids)) AND online_until > :now

-- name: mark_offline
UPDATE device_states SET online = 0 WHERE device_id = ? AND online = 1 AND online_until <= ?

-- name: gauges
SELECT (SELECT count(*) FROM device_bindings WHERE end_user_id IS NOT NULL),
       -- those that were told of as online, but for those of which the contrary is still to be told: by the index alone
       (SELECT count(*) FROM device_states WHERE online = 1)
       - (SELECT count(*) FROM device_states WHERE online = 1 AND online_check_at <= :now AND online_until <= :now),
       (SELECT count(*) FROM commands WHERE status IN ('pending', 'delivered'))

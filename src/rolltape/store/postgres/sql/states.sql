-- name: check_later
WITH mine AS (
    SELECT device_id FROM device_states WHERE device_id = ANY (ARRAY(SELECT json_array_elements_text(:device_ids::json)))
    ORDER BY device_id COLLATE "C" FOR NO KEY UPDATE -- in the order in which `flush` takes them
)
UPDATE device_states AS s SET online_check_at = s.online_until
FROM mine WHERE s.device_id = mine.device_id AND s.online_until > :now

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

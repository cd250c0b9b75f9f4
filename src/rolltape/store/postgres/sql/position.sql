-- name: given
-- The last number that was given to an event.
SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM events_n_seq

-- name: running
-- The oldest transaction that is under way, and the next that will be.
SELECT pg_snapshot_xmin(now.snapshot)::text::bigint, pg_snapshot_xmax(now.snapshot)::text::bigint
FROM (SELECT pg_current_snapshot() AS snapshot) AS now

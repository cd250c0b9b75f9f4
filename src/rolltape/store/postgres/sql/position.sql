-- name: running
-- The oldest transaction that is under way, and the next that will be.
SELECT pg_snapshot_xmin(now.snapshot)::text::bigint, pg_snapshot_xmax(now.snapshot)::text::bigint
FROM (SELECT pg_current_snapshot() AS snapshot) AS now

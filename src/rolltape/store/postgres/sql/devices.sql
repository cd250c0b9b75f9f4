-- name: stats
SELECT count(*),
       count(*) FILTER (WHERE b.end_user_id IS NOT NULL),
       count(*) FILTER (WHERE s.online_until > :now),
       count(*) FILTER (WHERE s.online_until > :now AND s.rec_active = 1
                          AND (s.rec_until IS NULL OR s.rec_until > :now)),
       count(*) FILTER (WHERE s.battery_percent < 15),
       count(*) FILTER (WHERE s.storage_total_mb > 0 AND s.storage_used_mb > 0.9 * s.storage_total_mb)
FROM devices AS d
JOIN device_bindings AS b ON b.device_id = d.id
JOIN device_states AS s ON s.device_id = d.id
WHERE d.tenant_n = :tenant_n AND d.deleted_at IS NULL

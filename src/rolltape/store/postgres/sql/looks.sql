-- Quick looks for many callers at once. How they say "pending": see rounds.sql.

-- name: tokens
SELECT t.hash, t.n, t.tenant_n, d.project_id, d.mode, t.device_id, t.generation, t.first_used_at, t.replaced_at,
       t.ended_at, v.heartbeat_sec, v.grant_alg, b.held_kids,
       -- Most calls with a token are heartbeats, which ask that next. LIMIT: by the index for this device, and in no
       -- plan all that wait for anybody.
       (SELECT true FROM commands AS c
        WHERE c.device_id = t.device_id
          AND CASE c.status WHEN 'pending' THEN true WHEN 'delivered' THEN true ELSE false END
          AND c.status = (SELECT 'pending')
        LIMIT 1) IS NOT NULL
FROM device_tokens AS t
JOIN tenants AS d ON d.n = t.tenant_n
JOIN devices AS v ON v.id = t.device_id
JOIN device_bindings AS b ON b.device_id = t.device_id
WHERE t.hash = ANY ($1::bytea[])

-- name: pending
SELECT a.device_id
FROM unnest($1::text[]) AS a (device_id)
WHERE (SELECT true FROM commands AS c
       WHERE c.device_id = a.device_id
         AND CASE c.status WHEN 'pending' THEN true WHEN 'delivered' THEN true ELSE false END
         AND c.status = (SELECT 'pending')
       LIMIT 1)

-- name: facts
SELECT b.device_id, b.tenant_n, b.generation, b.end_user_id IS NOT NULL, d.grant_alg, b.held_kids, s.next_contact_at
FROM device_bindings AS b
JOIN devices AS d ON d.id = b.device_id
JOIN device_states AS s ON s.device_id = b.device_id
WHERE b.device_id = ANY ($1::text[]) AND d.deleted_at IS NULL

-- name: bound
SELECT device_id, generation FROM device_bindings WHERE device_id = ANY ($1::text[]) AND end_user_id IS NOT NULL

-- name: bindings
SELECT b.tenant_n, t.project_id, t.mode, b.device_id, b.generation, v.heartbeat_sec, v.grant_alg, b.held_kids,
       s.mqtt_until
FROM device_bindings AS b
JOIN tenants AS t ON t.n = b.tenant_n
JOIN devices AS v ON v.id = b.device_id
JOIN device_states AS s ON s.device_id = b.device_id
WHERE b.device_id = ANY ($1::text[]) AND b.end_user_id IS NOT NULL

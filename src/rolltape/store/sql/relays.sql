-- name: end_user_exists
SELECT 1 FROM end_users WHERE id = ? AND tenant_n = ?

-- name: device_that_is_not_there
SELECT value FROM json_each(?)
WHERE value NOT IN (SELECT id FROM devices WHERE tenant_n = ? AND deleted_at IS NULL)
LIMIT 1

-- name: insert_token
INSERT INTO relay_tokens (tenant_n, end_user_id, device_ids, hash, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)

-- name: prune_tokens
DELETE FROM relay_tokens WHERE n IN (SELECT n FROM relay_tokens WHERE expires_at <= ? LIMIT ?)

-- name: token_by_hash
SELECT t.n, t.tenant_n, d.project_id, d.mode, t.end_user_id, t.device_ids, t.expires_at
FROM relay_tokens AS t
JOIN tenants AS d ON d.n = t.tenant_n
JOIN end_users AS u ON u.id = t.end_user_id
WHERE t.hash = ?

-- name: token_lasts
SELECT 1 FROM relay_tokens WHERE n = ? AND expires_at > ?

-- name: revoke_tokens
DELETE FROM relay_tokens WHERE tenant_n = ? AND end_user_id = ?

-- name: touch_token
UPDATE relay_tokens SET last_used_at = ? WHERE n = ?

-- name: devices
SELECT d.id, d.serial_number, b.generation, d.grant_alg, d.public_key IS NOT NULL, b.held_kids,
       EXISTS (SELECT 1 FROM commands AS c WHERE c.device_id = d.id AND c.status = 'pending')
FROM device_bindings AS b
JOIN devices AS d ON d.id = b.device_id
WHERE b.tenant_n = ? AND b.end_user_id = ? AND d.deleted_at IS NULL
ORDER BY d.n

-- name: device
SELECT d.grant_alg, d.public_key, d.heartbeat_sec, b.generation, b.end_user_id = :end_user_id AND d.deleted_at IS NULL,
       b.held_kids, b.last_stop_seq
FROM devices AS d
JOIN device_bindings AS b ON b.device_id = d.id
WHERE d.id = :device_id AND d.tenant_n = :tenant_n

-- name: generations
SELECT generation FROM binding_history
WHERE device_id = ? AND end_user_id = ? AND (ended_at IS NULL OR ended_at > ?)
ORDER BY generation DESC

-- name: last_event
-- The last number that was given: events age out, and what a relay has heard of must not come before it.
SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'events'

-- name: news
-- What may have changed what waits for a device; that something was offered is no news.
SELECT DISTINCT e.device_id
FROM json_each(:device_ids) AS d
CROSS JOIN events AS e INDEXED BY events_of_device ON e.device_id = d.value AND e.n > :after AND e.n <= :upto
WHERE e.type IN ('command.created', 'command.delivered', 'command.deferred', 'command.executed', 'command.failed',
                 'command.expired', 'command.cancelled', 'device.bound')

-- name: closed
-- Commands that a relay may hold a grant of, and that were closed since, or that the device took on its own connection.
-- Each once: what the device took itself is not told again when it ends.
SELECT e.n, e.command_id
FROM (SELECT DISTINCT device_id FROM binding_history
      WHERE end_user_id = :end_user_id AND (ended_at IS NULL OR ended_at > :since)) AS b
CROSS JOIN events AS e INDEXED BY events_of_device ON e.device_id = b.device_id AND e.n > :after AND e.n <= :upto
JOIN commands AS c ON c.id = e.command_id
WHERE (e.type IN ('command.executed', 'command.failed', 'command.expired', 'command.cancelled')
       OR e.type = 'command.delivered' AND e.data ->> '$.delivery.evidence' = 'device')
  AND e.previous_status IN ('pending', 'delivered')
  AND NOT EXISTS (SELECT 1 FROM events AS d
                  WHERE d.command_id = e.command_id AND d.n < e.n AND d.type = 'command.delivered'
                    AND d.data ->> '$.delivery.evidence' = 'device')
  AND c.offered_routes & :relay_bit
  AND (:device_ids IS NULL OR b.device_id IN (SELECT value FROM json_each(:device_ids)))
  AND EXISTS (SELECT 1 FROM binding_history AS h
              WHERE h.device_id = c.device_id AND h.generation = c.generation AND h.end_user_id = :end_user_id)
ORDER BY e.n
LIMIT :limit

-- name: claims_of
SELECT count(*) FROM claims WHERE command_id = ?

-- name: claim
INSERT INTO claims (command_id, digest) VALUES (?, ?) ON CONFLICT DO NOTHING

-- name: count_receipt
INSERT INTO receipt_counters (device_id, generation, counter) VALUES (?, ?, ?)
ON CONFLICT (device_id, generation) DO UPDATE SET counter = excluded.counter
WHERE receipt_counters.counter < excluded.counter

-- name: by_idempotency_key
SELECT n, id, tenant_n, device_id, generation, seq, type, status, params, result, error_code, error_message, created_at,
       expires_at, delivered_at, executed_at, reported_at, route, offers, offered_routes, last_offered_at, evidence,
       relay_grants_until, request_hash
FROM commands
WHERE device_id = ? AND generation = ? AND idempotency_key = ?

-- name: forget_idempotency_key
UPDATE commands SET idempotency_key = NULL
WHERE device_id = ? AND id = ? AND status NOT IN ('pending', 'delivered')

-- name: binding_for_create
SELECT b.generation, b.end_user_id IS NOT NULL, d.grant_alg, b.held_kids, s.next_contact_at
FROM device_bindings AS b
JOIN devices AS d ON d.id = b.device_id
JOIN device_states AS s ON s.device_id = b.device_id
WHERE b.device_id = ? AND b.tenant_n = ? AND d.deleted_at IS NULL

-- name: count_open_at_most
-- All that are open, a reset included, from the index alone: quick, and exact enough until the limit is near.
SELECT count(*) FROM (
    SELECT 1 FROM commands INDEXED BY commands_list_by_status
    WHERE device_id = ? AND status IN ('pending', 'delivered')
    LIMIT ?
)

-- name: count_open
SELECT count(*) FROM (
    SELECT 1 FROM commands
    WHERE device_id = ? AND status IN ('pending', 'delivered') AND type <> 'factory_reset'
    LIMIT ?
)

-- name: mint_seq
UPDATE device_bindings SET last_seq = last_seq + 1
WHERE device_id = ? AND end_user_id IS NOT NULL
RETURNING last_seq

-- name: mint_stop_seq
UPDATE device_bindings SET last_seq = last_seq + 1, last_stop_seq = last_seq + 1
WHERE device_id = ? AND end_user_id IS NOT NULL
RETURNING last_seq

-- name: insert
INSERT INTO commands (id, tenant_n, device_id, generation, seq, type, status, params, created_at, expires_at,
                      idempotency_key, request_hash)
VALUES (?, ?, ?, ?, ?, ?, 'pending', ?, ?, ?, ?, ?)
RETURNING n

-- name: by_id
SELECT c.n, c.id, c.tenant_n, c.device_id, c.generation, c.seq, c.type, c.status, c.params, c.result, c.error_code,
       c.error_message, c.created_at, c.expires_at, c.delivered_at, c.executed_at, c.reported_at, c.route, c.offers,
       c.offered_routes, c.last_offered_at, c.evidence, c.relay_grants_until
FROM commands AS c
WHERE c.id = ? AND c.tenant_n = ? AND c.device_id = ?

-- name: open_of_device
SELECT n, id, tenant_n, device_id, generation, seq, type, status, params, result, error_code, error_message, created_at,
       expires_at, delivered_at, executed_at, reported_at, route, offers, offered_routes, last_offered_at, evidence,
       relay_grants_until
FROM commands
WHERE device_id = ? AND status IN ('pending', 'delivered')
ORDER BY n

-- name: list
SELECT n, id, tenant_n, device_id, generation, seq, type, status, params, result, error_code, error_message, created_at,
       expires_at, delivered_at, executed_at, reported_at, route, offers, offered_routes, last_offered_at, evidence,
       relay_grants_until
FROM commands
WHERE device_id = ? AND n < ?
ORDER BY n DESC
LIMIT ?

-- name: list_by_type
SELECT n, id, tenant_n, device_id, generation, seq, type, status, params, result, error_code, error_message, created_at,
       expires_at, delivered_at, executed_at, reported_at, route, offers, offered_routes, last_offered_at, evidence,
       relay_grants_until
FROM commands
WHERE device_id = ? AND type = ? AND n < ?
ORDER BY n DESC
LIMIT ?

-- name: list_by_status
SELECT n, id, tenant_n, device_id, generation, seq, type, status, params, result, error_code, error_message, created_at,
       expires_at, delivered_at, executed_at, reported_at, route, offers, offered_routes, last_offered_at, evidence,
       relay_grants_until
FROM commands
WHERE device_id = ? AND status = ? AND n < ?
ORDER BY n DESC
LIMIT ?

-- name: list_by_status_and_type
SELECT n, id, tenant_n, device_id, generation, seq, type, status, params, result, error_code, error_message, created_at,
       expires_at, delivered_at, executed_at, reported_at, route, offers, offered_routes, last_offered_at, evidence,
       relay_grants_until
FROM commands
WHERE device_id = ? AND status = ? AND type = ? AND n < ?
ORDER BY n DESC
LIMIT ?

-- name: move
UPDATE commands
SET status = ?, result = ?, error_code = ?, error_message = ?, delivered_at = ?, executed_at = ?, reported_at = ?,
    evidence = ?, route = ?
WHERE device_id = ? AND id = ? AND status = ?

-- name: strengthen
UPDATE commands SET evidence = ? WHERE device_id = ? AND id = ? AND evidence IS NOT DISTINCT FROM ?

-- name: any_due
SELECT 1 FROM commands WHERE status IN ('pending', 'delivered') AND expires_at <= ? LIMIT 1

-- name: next_due
SELECT min(expires_at) FROM commands WHERE status IN ('pending', 'delivered')

-- name: due
SELECT n, id, tenant_n, device_id, generation, seq, type, status, params, result, error_code, error_message, created_at,
       expires_at, delivered_at, executed_at, reported_at, route, offers, offered_routes, last_offered_at, evidence,
       relay_grants_until
FROM commands
WHERE status IN ('pending', 'delivered') AND expires_at <= ?
ORDER BY expires_at, n
LIMIT ?

-- name: any_pending
SELECT 1 FROM commands WHERE device_id = ? AND status = 'pending' LIMIT 1

-- name: offerable
SELECT n, id, tenant_n, device_id, generation, seq, type, status, params, result, error_code, error_message, created_at,
       expires_at, delivered_at, executed_at, reported_at, route, offers, offered_routes, last_offered_at, evidence,
       relay_grants_until
FROM commands
WHERE device_id = :device_id AND status = 'pending' AND generation = :generation
  AND coalesce(CASE :route WHEN 'relay' THEN last_relayed_at WHEN 'channel' THEN last_offered_at ELSE last_polled_at END, 0)
      NOT BETWEEN :quiet_since + 1 AND :now -- what lies in the future says only that the clock was set back
  AND id NOT IN (SELECT value FROM json_each(:but))
  AND (NOT :only_urgent OR type IN ('factory_reset', 'stop_recording'))
ORDER BY CASE type WHEN 'factory_reset' THEN 0 WHEN 'stop_recording' THEN 1 ELSE 2 END, seq
LIMIT :limit

-- name: taken_without_a_word
-- A relay brought the acknowledgement, and all grants that relays hold have ended since: the device may have none left.
SELECT n, id, tenant_n, device_id, generation, seq, type, status, params, result, error_code, error_message, created_at,
       expires_at, delivered_at, executed_at, reported_at, route, offers, offered_routes, last_offered_at, evidence,
       relay_grants_until
FROM commands
WHERE device_id = :device_id AND status = 'delivered' AND generation = :generation AND route = 'relay'
  AND relay_grants_until <= :now
ORDER BY CASE type WHEN 'factory_reset' THEN 0 WHEN 'stop_recording' THEN 1 ELSE 2 END, seq
LIMIT :limit

-- name: statuses
SELECT c.id, c.status
FROM json_each(:ids) AS asked
CROSS JOIN commands AS c ON c.id = asked.value
WHERE c.device_id = :device_id AND c.generation = :generation

-- name: offer
UPDATE commands
SET offers = offers + 1, offered_routes = offered_routes | :bit, route = :route, last_offered_at = :now,
    last_polled_at = CASE :route WHEN 'poll' THEN :now ELSE last_polled_at END,
    last_relayed_at = CASE :route WHEN 'relay' THEN :now ELSE last_relayed_at END,
    relay_grants_until = CASE :route WHEN 'relay' THEN max(coalesce(relay_grants_until, 0), :grants_until)
                                     ELSE relay_grants_until END,
    evidence = coalesce(evidence, 'offered')
WHERE device_id = :device_id AND id = :id AND status IN ('pending', 'delivered')

-- name: binding_of
SELECT generation, end_user_id, last_stop_seq, last_ended_stop_seq FROM device_bindings WHERE device_id = ?

-- name: stop_was_carried_out
UPDATE device_bindings SET last_ended_stop_seq = max(last_ended_stop_seq, ?) WHERE device_id = ?

-- name: newer_start_ran
SELECT 1 FROM commands
WHERE device_id = ? AND status = 'executed' AND n > ? AND type = 'start_recording'
LIMIT 1

-- name: raise_seq
UPDATE device_bindings SET last_seq = last_seq + 1 WHERE device_id = ? RETURNING last_seq

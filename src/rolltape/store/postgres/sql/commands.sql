-- name: count_open_at_most
SELECT count(*) FROM (
    SELECT 1 FROM commands WHERE device_id = ? AND status IN ('pending', 'delivered') LIMIT ?
) AS open

-- name: count_open
SELECT count(*) FROM (
    SELECT 1 FROM commands
    WHERE device_id = ? AND status IN ('pending', 'delivered') AND type <> 'factory_reset'
    LIMIT ?
) AS open

-- name: offerable
SELECT n, id, tenant_n, device_id, generation, seq, type, status, params, result, error_code, error_message, created_at,
       expires_at, delivered_at, executed_at, reported_at, route, offers, offered_routes, last_offered_at, evidence,
       relay_grants_until
FROM commands
WHERE device_id = :device_id AND status = 'pending' AND generation = :generation
  AND coalesce(CASE :route::text WHEN 'relay' THEN last_relayed_at ELSE last_polled_at END, 0)
      NOT BETWEEN :quiet_since::bigint + 1 AND :now::bigint
  AND id NOT IN (SELECT json_array_elements_text(:but::json))
  AND (NOT :only_urgent::boolean OR type IN ('factory_reset', 'stop_recording'))
ORDER BY CASE type WHEN 'factory_reset' THEN 0 WHEN 'stop_recording' THEN 1 ELSE 2 END, seq
LIMIT :limit

-- name: statuses
SELECT id, status FROM commands
WHERE device_id = :device_id AND generation = :generation
  AND id = ANY (ARRAY(SELECT json_array_elements_text(:ids::json)))

-- name: offer
UPDATE commands
SET offers = offers + 1, offered_routes = offered_routes | :bit, route = :route, last_offered_at = :now,
    last_polled_at = CASE :route WHEN 'poll' THEN :now ELSE last_polled_at END,
    last_relayed_at = CASE :route WHEN 'relay' THEN :now ELSE last_relayed_at END,
    relay_grants_until = CASE :route WHEN 'relay' THEN greatest(relay_grants_until, :grants_until)
                                     ELSE relay_grants_until END,
    evidence = coalesce(evidence, 'offered')
WHERE device_id = :device_id AND id = :id AND status IN ('pending', 'delivered')

-- name: stop_was_carried_out
UPDATE device_bindings SET last_ended_stop_seq = greatest(last_ended_stop_seq, ?) WHERE device_id = ?

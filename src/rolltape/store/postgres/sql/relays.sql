-- name: last_event
SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM events_n_seq

-- name: end_user_exists
SELECT 1 FROM end_users WHERE id = ? AND tenant_n = ? FOR KEY SHARE

-- name: device_that_is_not_there
SELECT named.id
FROM json_array_elements_text(?::json) AS named (id)
WHERE NOT EXISTS (SELECT 1 FROM devices AS d WHERE d.id = named.id AND d.tenant_n = ? AND d.deleted_at IS NULL)
LIMIT 1

-- name: news
SELECT d.id
FROM json_array_elements_text(:device_ids::json) AS d (id)
WHERE EXISTS (
    SELECT 1 FROM events AS e
    WHERE e.device_id = d.id AND e.n > :after AND e.n <= :upto
      AND e.type IN ('command.created', 'command.delivered', 'command.deferred', 'command.executed', 'command.failed',
                     'command.expired', 'command.cancelled', 'device.bound')
)

-- name: closed
SELECT e.n, e.command_id
FROM (SELECT DISTINCT device_id FROM binding_history
      WHERE end_user_id = :end_user_id AND (ended_at IS NULL OR ended_at > :since)) AS b
JOIN events AS e ON e.device_id = b.device_id AND e.n > :after AND e.n <= :upto
JOIN commands AS c ON c.device_id = e.device_id AND c.id = e.command_id
WHERE (e.type IN ('command.executed', 'command.failed', 'command.expired', 'command.cancelled')
       OR e.type = 'command.delivered' AND e.data::json #>> '{delivery,evidence}' = 'device')
  AND e.previous_status IN ('pending', 'delivered')
  AND NOT EXISTS (SELECT 1 FROM events AS d
                  WHERE d.command_id = e.command_id AND d.n < e.n AND d.type = 'command.delivered'
                    AND d.data::json #>> '{delivery,evidence}' = 'device')
  AND c.offered_routes & :relay_bit <> 0
  AND (:device_ids::text IS NULL
       OR b.device_id = ANY (ARRAY(SELECT json_array_elements_text(:device_ids::json))))
  AND EXISTS (SELECT 1 FROM binding_history AS h
              WHERE h.device_id = c.device_id AND h.generation = c.generation AND h.end_user_id = :end_user_id)
ORDER BY e.n
LIMIT :limit

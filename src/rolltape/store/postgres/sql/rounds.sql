-- What is done for many callers at once: each statement takes arrays, one element a row.
--
-- `CASE status …` says "open" in the words of the index commands_open, and `status = (SELECT 'pending')` says "pending" so
-- that the planner doesn't see that it is open: so what is open on a device is found by that index, and never by the one
-- of all that is open, commands_open_until, which fits too where nobody has counted the rows since there were few.

-- name: hold
-- Takes hold of devices, in one order, so that no two rounds wait for each other; and what is known of them.
SELECT b.device_id, b.tenant_n, b.generation, b.end_user_id IS NOT NULL, d.deleted_at IS NOT NULL, d.grant_alg,
       b.held_kids, s.next_contact_at, b.last_seq, b.last_stop_seq, b.last_ended_stop_seq
FROM device_bindings AS b
JOIN devices AS d ON d.id = b.device_id
JOIN device_states AS s ON s.device_id = b.device_id
WHERE b.device_id = ANY ($1::text[])
ORDER BY b.device_id
FOR NO KEY UPDATE OF b

-- name: before_creation
-- How many commands are open on each device, and what its idempotency key has made before.
SELECT a.i,
       CASE WHEN a.counts THEN (
           SELECT count(*) FROM (
               SELECT 1 FROM commands AS o
               WHERE o.device_id = a.device_id
                 AND CASE o.status WHEN 'pending' THEN true WHEN 'delivered' THEN true ELSE false END
                 AND o.type <> 'factory_reset'
               LIMIT $6::bigint
           ) AS open
       ) ELSE 0 END,
       c.n, c.id, c.tenant_n, c.device_id, c.generation, c.seq, c.type, c.status, c.params, c.result, c.error_code,
       c.error_message, c.created_at, c.expires_at, c.delivered_at, c.executed_at, c.reported_at, c.route, c.offers,
       c.offered_routes, c.last_offered_at, c.evidence, c.relay_grants_until, c.request_hash
FROM unnest($1::int[], $2::text[], $3::bigint[], $4::text[], $5::boolean[]) AS a (i, device_id, generation, key, counts)
LEFT JOIN commands AS c
  ON c.device_id = a.device_id AND c.generation = a.generation AND c.idempotency_key = a.key

-- name: by_ids
SELECT a.i, c.n, c.id, c.tenant_n, c.device_id, c.generation, c.seq, c.type, c.status, c.params, c.result, c.error_code,
       c.error_message, c.created_at, c.expires_at, c.delivered_at, c.executed_at, c.reported_at, c.route, c.offers,
       c.offered_routes, c.last_offered_at, c.evidence, c.relay_grants_until
FROM unnest($1::int[], $2::text[], $3::text[]) AS a (i, device_id, id)
JOIN commands AS c ON c.device_id = a.device_id AND c.id = a.id

-- name: open_of
SELECT n, id, tenant_n, device_id, generation, seq, type, status, params, result, error_code, error_message, created_at,
       expires_at, delivered_at, executed_at, reported_at, route, offers, offered_routes, last_offered_at, evidence,
       relay_grants_until
FROM commands
WHERE device_id = ANY ($1::text[])
  AND CASE status WHEN 'pending' THEN true WHEN 'delivered' THEN true ELSE false END
ORDER BY device_id, n

-- name: offerable
SELECT a.i, c.*
FROM unnest($1::int[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::text[],
            $9::boolean[])
     AS a (i, device_id, generation, route, quiet_since, now, most, but, only_urgent)
CROSS JOIN LATERAL (
    SELECT n, id, tenant_n, device_id, generation, seq, type, status, params, result, error_code, error_message,
           created_at, expires_at, delivered_at, executed_at, reported_at, route, offers, offered_routes,
           last_offered_at, evidence, relay_grants_until
    FROM commands AS w
    WHERE w.device_id = a.device_id
      AND CASE w.status WHEN 'pending' THEN true WHEN 'delivered' THEN true ELSE false END
      AND w.status = (SELECT 'pending') AND w.generation = a.generation
      AND coalesce(CASE a.route WHEN 'relay' THEN w.last_relayed_at WHEN 'channel' THEN w.last_offered_at
                              ELSE w.last_polled_at END, 0)
          NOT BETWEEN a.quiet_since + 1 AND a.now
      AND (a.but IS NULL OR w.id NOT IN (SELECT json_array_elements_text(a.but::json)))
      AND (NOT a.only_urgent OR w.type IN ('factory_reset', 'stop_recording'))
    ORDER BY CASE w.type WHEN 'factory_reset' THEN 0 WHEN 'stop_recording' THEN 1 ELSE 2 END, w.seq
    LIMIT a.most
) AS c
ORDER BY a.i, CASE c.type WHEN 'factory_reset' THEN 0 WHEN 'stop_recording' THEN 1 ELSE 2 END, c.seq

-- name: taken_without_a_word
-- What a relay also gets: see the query of that name in commands.sql.
SELECT a.i, c.n, c.id, c.tenant_n, c.device_id, c.generation, c.seq, c.type, c.status, c.params, c.result, c.error_code,
       c.error_message, c.created_at, c.expires_at, c.delivered_at, c.executed_at, c.reported_at, c.route, c.offers,
       c.offered_routes, c.last_offered_at, c.evidence, c.relay_grants_until
FROM unnest($1::int[], $2::text[], $3::bigint[], $4::bigint[]) AS a (i, device_id, generation, now)
JOIN commands AS c
  ON c.device_id = a.device_id
 AND CASE c.status WHEN 'pending' THEN true WHEN 'delivered' THEN true ELSE false END
 AND c.status = (SELECT 'delivered') AND c.generation = a.generation AND c.route = 'relay'
 AND c.relay_grants_until <= a.now
ORDER BY a.i, CASE c.type WHEN 'factory_reset' THEN 0 WHEN 'stop_recording' THEN 1 ELSE 2 END, c.seq

-- name: what_follows
-- What a report that lands depends on, beside its command.
SELECT a.i,
       EXISTS (SELECT 1 FROM commands AS n
               WHERE n.device_id = c.device_id AND n.status = 'executed' AND n.n > c.n AND n.type = 'start_recording'),
       s.rec_active = 1 AND (s.rec_until IS NULL OR s.rec_until > a.now),
       EXISTS (SELECT 1 FROM recordings AS r
               WHERE r.tenant_n = c.tenant_n AND r.device_id = c.device_id AND r.id = a.recording_id
                 AND r.ended_at IS NOT NULL)
FROM unnest($1::int[], $2::text[], $3::text[], $4::text[], $5::bigint[]) AS a (i, device_id, id, recording_id, now)
JOIN commands AS c ON c.device_id = a.device_id AND c.id = a.id
JOIN device_states AS s ON s.device_id = a.device_id

-- name: write
-- All that a round has decided. Each part says how many rows it wrote: a guard that didn't hold spoils the round.
WITH moved AS (
    UPDATE commands AS c
    SET status = a.status, result = a.result, error_code = a.error_code, error_message = a.error_message,
        delivered_at = a.delivered_at, executed_at = a.executed_at, reported_at = a.reported_at,
        evidence = a.evidence, route = a.route
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::text[],
                $9::text[], $10::text[], $11::text[], $12::text[])
         AS a (status, result, error_code, error_message, delivered_at, executed_at, reported_at, evidence, route,
               device_id, id, was)
    WHERE c.device_id = a.device_id AND c.id = a.id AND c.status = a.was
    RETURNING 1
), offered AS (
    UPDATE commands AS c
    SET offers = c.offers + 1, offered_routes = c.offered_routes | a.bit, route = a.route, last_offered_at = a.now,
        last_polled_at = CASE a.route WHEN 'poll' THEN a.now ELSE c.last_polled_at END,
        last_relayed_at = CASE a.route WHEN 'relay' THEN a.now ELSE c.last_relayed_at END,
        relay_grants_until = CASE a.route WHEN 'relay' THEN greatest(c.relay_grants_until, a.grants_until)
                                          ELSE c.relay_grants_until END,
        evidence = coalesce(c.evidence, 'offered')
    FROM unnest($13::text[], $14::text[], $15::int[], $16::text[], $17::bigint[], $18::bigint[])
         AS a (device_id, id, bit, route, now, grants_until)
    WHERE c.device_id = a.device_id AND c.id = a.id AND c.status IN ('pending', 'delivered')
    RETURNING 1
), minted AS (
    UPDATE device_bindings AS b
    SET last_seq = a.last_seq, last_stop_seq = a.last_stop_seq
    FROM unnest($19::text[], $20::bigint[], $21::bigint[]) AS a (device_id, last_seq, last_stop_seq)
    WHERE b.device_id = a.device_id
    RETURNING 1
), created AS (
    INSERT INTO commands (id, tenant_n, device_id, generation, seq, type, status, params, created_at, expires_at,
                          idempotency_key, request_hash)
    SELECT a.id, a.tenant_n, a.device_id, a.generation, a.seq, a.type, 'pending', a.params, a.created_at, a.expires_at,
           a.key, a.hash
    FROM unnest($22::text[], $23::bigint[], $24::text[], $25::bigint[], $26::bigint[], $27::text[], $28::text[],
                $29::bigint[], $30::bigint[], $31::text[], $32::bytea[])
         WITH ORDINALITY
         AS a (id, tenant_n, device_id, generation, seq, type, params, created_at, expires_at, key, hash, i)
    ORDER BY a.i
    RETURNING n, id
), told AS (
    INSERT INTO events (id, tenant_n, device_id, command_id, type, previous_status, created_at, data)
    SELECT a.id, a.tenant_n, a.device_id, a.command_id, a.type, a.previous_status, a.created_at, a.data
    FROM unnest($33::text[], $34::bigint[], $35::text[], $36::text[], $37::text[], $38::text[], $39::bigint[],
                $40::text[])
         WITH ORDINALITY AS a (id, tenant_n, device_id, command_id, type, previous_status, created_at, data, i)
    ORDER BY a.i
)
SELECT 'created', n, id FROM created
UNION ALL SELECT 'moved', count(*), '' FROM moved
UNION ALL SELECT 'offered', count(*), '' FROM offered
UNION ALL SELECT 'minted', count(*), '' FROM minted

-- name: tell
INSERT INTO events (id, tenant_n, device_id, command_id, type, previous_status, created_at, data)
SELECT a.id, a.tenant_n, a.device_id, a.command_id, a.type, a.previous_status, a.created_at, a.data
FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::text[])
     WITH ORDINALITY AS a (id, tenant_n, device_id, command_id, type, previous_status, created_at, data, i)
ORDER BY a.i

-- name: before_creation_at_once
-- What `hold` and `before_creation` find, without taking hold.
SELECT a.i, b.device_id, b.tenant_n, b.generation, b.end_user_id IS NOT NULL, d.deleted_at IS NOT NULL, d.grant_alg,
       b.held_kids, s.next_contact_at, b.last_seq, b.last_stop_seq, b.last_ended_stop_seq,
       (
           SELECT count(*) FROM (
               SELECT 1 FROM commands AS o
               WHERE o.device_id = a.device_id
                 AND CASE o.status WHEN 'pending' THEN true WHEN 'delivered' THEN true ELSE false END
                 AND o.type <> 'factory_reset'
               LIMIT $4::bigint
           ) AS open
       ),
       c.*
FROM unnest($1::int[], $2::text[], $3::text[]) AS a (i, device_id, key)
JOIN device_bindings AS b ON b.device_id = a.device_id
JOIN devices AS d ON d.id = a.device_id
JOIN device_states AS s ON s.device_id = a.device_id
LEFT JOIN LATERAL (
    SELECT n, id, tenant_n, device_id, generation, seq, type, status, params, result, error_code, error_message,
           created_at, expires_at, delivered_at, executed_at, reported_at, route, offers, offered_routes,
           last_offered_at, evidence, relay_grants_until, request_hash
    FROM commands AS k
    WHERE k.device_id = a.device_id AND k.generation = b.generation AND k.idempotency_key = a.key
    LIMIT 1
) AS c ON true

-- name: create_at_once
-- All or nothing: where a device isn't as it was found, it divides by zero, and all of it is rolled back.
WITH minted AS (
    UPDATE device_bindings AS b
    SET last_seq = a.last_seq
    FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]) AS a (device_id, last_seq, was, generation)
    WHERE b.device_id = a.device_id AND b.last_seq = a.was AND b.generation = a.generation
      AND b.end_user_id IS NOT NULL
    RETURNING 1
), created AS (
    INSERT INTO commands (id, tenant_n, device_id, generation, seq, type, status, params, created_at, expires_at,
                          idempotency_key, request_hash)
    SELECT a.id, a.tenant_n, a.device_id, a.generation, a.seq, a.type, 'pending', a.params, a.created_at, a.expires_at,
           a.key, a.hash
    FROM unnest($5::text[], $6::bigint[], $7::text[], $8::bigint[], $9::bigint[], $10::text[], $11::text[],
                $12::bigint[], $13::bigint[], $14::text[], $15::bytea[])
         WITH ORDINALITY
         AS a (id, tenant_n, device_id, generation, seq, type, params, created_at, expires_at, key, hash, i)
    ORDER BY a.i
    RETURNING id, n
), told AS (
    INSERT INTO events (id, tenant_n, device_id, command_id, type, previous_status, created_at, data)
    SELECT a.id, a.tenant_n, a.device_id, a.command_id, a.type, a.previous_status, a.created_at, a.data
    FROM unnest($16::text[], $17::bigint[], $18::text[], $19::text[], $20::text[], $21::text[], $22::bigint[],
                $23::text[])
         WITH ORDINALITY AS a (id, tenant_n, device_id, command_id, type, previous_status, created_at, data, i)
    ORDER BY a.i
)
SELECT id, n / ((SELECT count(*) FROM minted) = cardinality($1))::int FROM created

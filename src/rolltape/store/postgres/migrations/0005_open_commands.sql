-- What is open on one device has an index of its own, which no other query can use, as its condition is one that the
-- planner doesn't see through: whoever says it in these words gets this index, or one that begins with the device, and
-- never that of all that is open (commands_open_until), whatever was counted when. In its place a list of one type goes
-- by the primary key, as the whole list does.
DROP INDEX CONCURRENTLY IF EXISTS commands_open;
CREATE INDEX CONCURRENTLY commands_open ON commands (device_id, n)
    WHERE CASE status WHEN 'pending' THEN true WHEN 'delivered' THEN true ELSE false END;
DROP INDEX CONCURRENTLY IF EXISTS commands_list_by_type;

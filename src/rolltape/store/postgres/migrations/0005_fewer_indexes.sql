-- A list of one type goes by the primary key (device_id, n), as the whole list does: each index that begins with the
-- device costs a create a page of its own, which the log takes whole after each checkpoint.
DROP INDEX CONCURRENTLY IF EXISTS commands_list_by_type;

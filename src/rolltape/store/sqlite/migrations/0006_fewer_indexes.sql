-- One index for two: a device's list goes by it, and a list of one type reads its entries alone. Each index that begins
-- with the device costs a create a page of its own, which the journal and then the file must take.
CREATE INDEX commands_of_device ON commands (device_id, n, type);
DROP INDEX commands_list_by_type;
DROP INDEX commands_list;

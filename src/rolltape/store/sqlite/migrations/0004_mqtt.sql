-- Until when (ms) a device counts as reached by the MQTT broker: what it says there moves it on. NULL: it never was.
ALTER TABLE device_states ADD COLUMN mqtt_until INTEGER;

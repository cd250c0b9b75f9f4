"""MQTT as both sides speak it: the address of a broker, and one connection to it on asyncio. Needs `rolltape[mqtt]`."""

"""The MQTT route: offers through a broker, for fleets larger than a server's own sockets allow."""

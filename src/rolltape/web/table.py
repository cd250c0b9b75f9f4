"""The table of the API: all operations, in the order in which the document lists them."""

from rolltape.web import account_api, backend_api, channel_api, device_api, health, metrics, recordings_api, relay_api
from rolltape.web.operation import Operation

OPERATIONS: tuple[Operation, ...] = (
    *backend_api.COMMANDS,
    *backend_api.DEVICES,
    *backend_api.BINDINGS,
    *account_api.END_USERS,
    *recordings_api.RECORDINGS,
    *recordings_api.BYTES,
    *device_api.OPERATIONS,
    *channel_api.OPERATIONS,
    *relay_api.RELAY,
    *relay_api.TOKENS,
    *account_api.KEYS,
    *health.OPERATIONS,
    *metrics.OPERATIONS,
)

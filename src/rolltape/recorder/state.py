"""How the device is: what a heartbeat says, by whatever way it goes."""

import msgspec

from rolltape.recorder.parts import Parts


def state_of(parts: Parts) -> dict[str, object]:
    """The body of a heartbeat, without acknowledgements and reports."""
    storage = parts.probes.storage()
    body: dict[str, object] = {
        "storage_used_mb": storage.used_mb,
        "storage_total_mb": storage.total_mb,
        "device_state": _device_state(parts),
        "recording": msgspec.to_builtins(parts.studio.now),
        "pending_recordings": len(parts.tapes.waiting()),
        "connection_type": list(parts.settings.connection_type),
        "grant_kids": list(parts.keys.keys)[:32],
    }
    extras: dict[str, object] = {
        "battery_percent": parts.probes.battery_percent(),
        "firmware_version": parts.settings.firmware_version,
        "device_name": parts.settings.device_name,
        "replay_state_lost": parts.replay.lost or None,
    }
    return body | {name: value for name, value in extras.items() if value is not None}


def _device_state(parts: Parts) -> str:
    states = {
        "recording": parts.studio.running is not None,
        "storageFull": parts.studio.is_storage_full,
        "lowBattery": parts.studio.is_battery_low,
        "uploading": any(tape.due for tape in parts.tapes.waiting()),
    }
    return next((state for state, holds in states.items() if holds), "idle")

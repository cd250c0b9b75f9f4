"""The loops of a recorder: those that speak with its server, and those that speak with relays."""

from collections.abc import Awaitable
from typing import Protocol

from rolltape.mqtt.address import parse
from rolltape.recorder.air.radio import OnAir
from rolltape.recorder.air.session import Session
from rolltape.recorder.goes import Goes
from rolltape.recorder.intake import Intake
from rolltape.recorder.live import Live
from rolltape.recorder.obey import Obey
from rolltape.recorder.parts import Parts
from rolltape.recorder.poll import Poll
from rolltape.recorder.pulse import Pulse
from rolltape.recorder.register import Register
from rolltape.recorder.report import Reports
from rolltape.recorder.upload import Upload


class Loop(Protocol):
    """Runs until it is cancelled, or until there is nothing left for it to do."""

    def run(self) -> Awaitable[None]: ...


def loops_of(parts: Parts, intake: Intake, air: Session | None) -> list[Loop]:
    """All that there are, as the settings say. What a power cut left half done is brought to an end first."""
    obey = Obey(parts, Goes(parts, air))
    obey.recover()
    loops: list[Loop] = [obey]
    if parts.settings.server is not None:
        loops += _with_server(parts, intake, obey)
    if air is not None:
        loops.append(air.tell)
        if parts.settings.ble is not None:
            loops.append(OnAir(parts, air, parts.settings.ble))
    return loops


def _with_server(parts: Parts, intake: Intake, obey: Obey) -> list[Loop]:
    reports = Reports(parts)
    pulse = Pulse(parts, intake, obey, reports)
    loops: list[Loop] = [reports, pulse, Poll(parts, intake), Register(parts), Upload(parts)]
    if parts.settings.mqtt is not None:
        from rolltape.recorder.mqtt import OnBroker  # not every recorder has what it needs

        loops.append(OnBroker(parts, parse(parts.settings.mqtt), intake, obey))
    elif parts.settings.channel:
        loops.append(Live(parts, intake, obey, pulse))
    else:
        parts.channel.missed()
    return loops

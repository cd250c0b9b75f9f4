"""What `rolltape doctor` says of one thing that it looked at."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `cure` says how to mend what isn't ok."""

    level: Level
    what: str
    cure: str | None = None

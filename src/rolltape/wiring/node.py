"""`python -m rolltape.wiring.node NUMBER FD FOLDER`: one node, as its parent starts it. See `rolltape.nodes`."""

import os
import sys
from pathlib import Path

from rolltape.config import Settings
from rolltape.wiring.seat import Node
from rolltape.wiring.serving import serve


def main(number: str, fd: str, folder: str) -> int:
    """Serves until its parent says so, or is gone; the exit code."""
    return serve(Settings.from_env(os.environ), Node(int(number), int(fd), Path(folder)))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

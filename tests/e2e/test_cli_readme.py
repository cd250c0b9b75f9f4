"""What the README tells a newcomer to type, typed."""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rolltape.testing.leash import Leashed
from tests.tools import needs

README = Path(__file__).parents[2] / "README.md"


def blocks(language: str) -> list[str]:
    """The README's blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text(), re.M | re.S)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Newcomer:
    """Somebody with a shell, who puts in the ids that they were given."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.folder, self.ids = folder, {"http://127.0.0.1:8787": f"http://127.0.0.1:{port}"}
        clean = {name: text for name, text in os.environ.items() if not name.startswith("ROLLTAPE_")}
        path = f"{Path(sys.executable).parent}{os.pathsep}{clean.get('PATH', '')}"
        url = f"http://127.0.0.1:{port}"
        self.env = {**clean, "PATH": path, "ROLLTAPE_PORT": str(port), "ROLLTAPE_URL": url}
        self.behind: list[subprocess.Popen[bytes]] = []

    def type(self, line: str) -> str:
        """Run a line; what ends in & goes on behind."""
        for shown, real in self.ids.items():
            line = line.replace(shown, real)
        if line.rstrip().endswith("&"):
            command = f"exec {line.rstrip().removesuffix('&')}"
            log = subprocess.DEVNULL
            self.behind.append(Leashed[bytes](command, shell=True, cwd=self.folder, env=self.env, stdout=log))
            return ""
        done = subprocess.run(
            ["bash", "-ec", f"{line}\nenv > {self.folder}/env"],
            cwd=self.folder,
            env=self.env,
            stdout=subprocess.PIPE,
            text=True,
            timeout=60,
            check=True,
        )
        told = dict(each.split("=", 1) for each in (self.folder / "env").read_text().splitlines() if "=" in each)
        self.env |= {name: text for name, text in told.items() if name.startswith("ROLLTAPE_")}
        return done.stdout

    def take_id(self, shown: str, answer: str) -> None:
        """Remember what stands for `eu_…` and the like."""
        self.ids[shown] = next(text for text in json.loads(answer).values() if str(text).startswith(shown[:-1]))

    def leave(self) -> None:
        for process in reversed(self.behind):
            process.terminate()
            assert process.wait(30) == 0


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Newcomer]:
    somebody = Newcomer(tmp_path)
    try:
        yield somebody
    finally:
        somebody.leave()


@needs("bash", "curl")
def test_the_first_command_works_as_the_readme_tells_it(newcomer: Newcomer, tmp_path: Path) -> None:
    (setup,) = [block for block in blocks("sh") if "rolltape serve" in block]
    for line in setup.splitlines():
        command, _, comment = line.partition("  #")
        answer = newcomer.type(command)
        for shown in re.findall(r'": "(\w+_…)"', comment):
            newcomer.take_id(shown, answer)
    (python,) = blocks("python")
    (tmp_path / "first.py").write_text(python.replace("dev_…", newcomer.ids["dev_…"]))
    path = newcomer.type("python3 first.py").strip()
    assert (tmp_path / path).stat().st_size > 0
    (curl,) = [block for block in blocks("sh") if "curl" in block]
    assert json.loads(newcomer.type(curl))["status"] == "executed"
    (shell,) = re.findall(r"`(rolltape commands send .+?)`", README.read_text())
    newcomer.type(shell)

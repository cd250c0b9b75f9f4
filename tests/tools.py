"""Programs that a test needs beside Python."""

import os
import shutil

import pytest


def needs(*programs: str) -> pytest.MarkDecorator:
    """Skips a test where a program is missing, and says which; in CI the test runs, and so fails."""
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(
        bool(missing) and not os.environ.get("CI"), reason=f"needs {', '.join(missing)}: install it to run this test"
    )

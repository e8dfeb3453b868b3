"""Every Python that setup.py promises, as far as this machine has it, and both ends of the ranges
of the dependencies there."""

import os
import subprocess
import sys

import pytest

from tests.integration.conftest import ROOT, installed, interpreter

WORKERS = os.environ.get("WORKERS", "6")


@pytest.mark.parametrize(
    "name",
    [
        "3.10-oldest",
        "3.10-newest",
        "3.11-newest",
        "3.12-newest",
        "3.13-newest",
        "3.13-oldest",
    ],
)
def test_the_suite_passes(name):
    version, _, age = name.partition("-")
    if age == "newest" and version == f"{sys.version_info.major}.{sys.version_info.minor}":
        pytest.skip("`make test` runs the suite in this Python")
    folder = installed(f"tests-{name}", python=interpreter(version))
    done = subprocess.run(
        [folder / "python", "-m", "pytest", "-n", WORKERS, "--dist", "loadgroup"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.fail(
            f"in Python {version} with the {age} dependencies:\n{done.stdout[-20000:]}",
            pytrace=False,
        )

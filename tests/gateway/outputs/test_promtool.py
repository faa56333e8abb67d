"""Metrics as Prometheus itself checks them, where its promtool is installed."""

import shutil
import subprocess

import pytest
from test_prometheus import snapshot
from tickseal_gateway.outputs.prometheus import render

PROMTOOL = shutil.which("promtool")


@pytest.mark.skipif(PROMTOOL is None, reason="needs promtool (Debian: prometheus)")
@pytest.mark.parametrize("readings", [True, False])
def test_promtool_finds_nothing_to_mend(*, readings: bool) -> None:
    text = "\n".join(render(snapshot(), readings=readings)) + "\n"
    done = subprocess.run(
        [str(PROMTOOL), "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

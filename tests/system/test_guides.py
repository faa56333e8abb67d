"""The guides: each link leads somewhere, and each key of a configuration is in one of them."""

import re
import subprocess
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import ModuleType

import pytest
import tickseal_edge.config
import tickseal_edge.production.stream_config
import tickseal_edge.sensors.readings
import tickseal_gateway.config
import tickseal_gateway.outputs.settings
import tickseal_gateway.sink.config

ROOT = Path(__file__).parents[2]
GUIDES = (
    "README.md", "docs/operating.md", "docs/outputs.md", "docs/page.md", "docs/performance.md",
    "docs/protocol.md", "docs/security.md", "edge/README.md", "gateway/README.md",
    "firmware_mpy/README.md", "hil_tests/README.md", "CONTRIBUTING.md", "CHANGELOG.md",
)  # fmt: skip
CONFIGURATIONS = (
    tickseal_edge.config,
    tickseal_edge.production.stream_config,
    tickseal_edge.sensors.readings,
    tickseal_gateway.config,
    tickseal_gateway.outputs.settings,
    tickseal_gateway.sink.config,
)
#: Of classes that are made from the configuration, not read from it.
NOT_READ = {"spi_driver", "hash_length"}
#: MicroPython's.
NOT_OURS = {"ports/unix/README.md"}


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    heads = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("guide", GUIDES)
def test_every_link_leads_somewhere(guide: str) -> None:
    text = (ROOT / guide).read_text()
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    for target in targets:
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        page = (ROOT / guide).parent / path if path else ROOT / guide
        assert page.exists(), target
        assert not anchor or anchor in anchors(page), target


@pytest.mark.parametrize("guide", GUIDES)
def test_every_file_that_is_named_exists(guide: str) -> None:
    known = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    named = re.findall(
        r"`([a-z_][\w./-]*\.(?:py|md|js|h|c|service|rules))`", (ROOT / guide).read_text()
    )
    for name in set(named) - NOT_OURS:
        assert any(f"/{path}".endswith(f"/{name}") for path in known), name


@pytest.mark.parametrize("module", CONFIGURATIONS, ids=lambda module: module.__name__)
def test_every_key_is_in_a_guide(module: ModuleType) -> None:
    text = "\n".join((ROOT / guide).read_text() for guide in GUIDES)
    for made in filter(is_dataclass, vars(module).values()):
        for field in fields(made):
            key = re.sub("_(ns|bytes)$", "", field.name)
            assert key in NOT_READ or re.search(rf"\b{key}\b", text), f"{made}: {key}"

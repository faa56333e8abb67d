"""Native and pure side by side; nothing here runs where the extension was not compiled."""

from pathlib import Path

import pytest

from tickseal import acceleration


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    if acceleration().is_native:
        return
    skip = pytest.mark.skip(reason=f"not native: {acceleration().reason}")
    for item in items:
        if here in item.path.parents and item.path.name != "test_build.py":
            item.add_marker(skip)

"""Native and pure side by side; nothing here runs where the extension was not compiled.

In CI it must have been.
"""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from tickseal import acceleration

if find_spec("tickseal.native.hotpath") is None and not os.environ.get("CI"):
    collect_ignore = ["test_equal.py", "test_boundary.py", "test_threads.py", "test_memory.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    if acceleration().is_native:
        return
    skip = pytest.mark.skip(reason=f"not native: {acceleration().reason}")
    for item in items:
        if here in item.path.parents and item.path.name != "test_build.py":
            item.add_marker(skip)

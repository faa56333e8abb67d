"""Hypothesis profiles: quick at the desk, with other examples each time; in CI many, and the same.

HYPOTHESIS_PROFILE chooses another: brief has few, the same each time, for what is emulated. And in
CI no test is skipped for want of what can be installed.
"""

import os
from collections.abc import Generator
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes tells of the machine's load, not of the code.
steady = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("dev", steady, max_examples=30)
ci = settings(steady, derandomize=True, print_blob=True)
settings.register_profile("ci", ci, max_examples=100)
settings.register_profile("brief", ci, max_examples=20)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))

R = TypeVar("R", pytest.TestReport, pytest.CollectReport)
#: How a reason begins that tells of the machine, or of this version of a program.
_ALLOWED = ("no disk can be mounted", "no network namespaces", "only root", "this ")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _loud((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _loud((yield))


def _loud(report: R) -> R:
    """Let what was skipped fail, where this is CI and something could be installed."""
    if os.environ.get("CI") and report.skipped and isinstance(report.longrepr, tuple):
        file, line, reason = report.longrepr
        if not reason.removeprefix("Skipped: ").startswith(_ALLOWED):
            report.outcome = "failed"
            report.longrepr = (
                f"{file}:{line}: {reason}\n"
                "In CI nothing is skipped for want of it: name Debian's package in "
                "hil_tests/bench/packages.py, or Python's in pyproject.toml."
            )
    return report

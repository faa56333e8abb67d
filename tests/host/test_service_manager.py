"""systemd is told what it waits for, and nobody where there is none."""

import os
import socket
from pathlib import Path

import pytest

from tickseal.host.service_manager import ServiceManager


def test_it_is_told_ready_alive_and_stopping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "30000000")
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
        manager = ServiceManager()
        assert manager.watchdog_s == 15
        assert "NOTIFY_SOCKET" not in os.environ, "children are not this service"
        manager.ready("streams")
        manager.alive()
        manager.status("well")
        manager.stopping()
        told = [listener.recv(1000).decode() for _ in range(4)]
    assert told[:2] == ["READY=1\nSTATUS=streams", "WATCHDOG=1"]
    assert told[2:] == ["STATUS=well", "STOPPING=1"]


def test_a_watchdog_of_another_process_is_not_fed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "@nobody")
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    monkeypatch.setenv("WATCHDOG_PID", "1")
    manager = ServiceManager()
    assert manager.watchdog_s is None
    manager.alive()


def test_without_a_service_manager_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    ServiceManager().ready("streams")

"""Host telemetry is this machine's real state; what it does not have is marked."""

import psutil
from pytest_mock import MockerFixture
from tickseal_edge.sensors.host import HostSensor


def _by_name(sensor: HostSensor) -> dict[str, object]:
    return {sample.name: sample.value for sample in sensor.read(0)}


def test_memory_and_disk_are_what_psutil_says() -> None:
    values = _by_name(HostSensor(lambda: 0))
    total = psutil.virtual_memory().total
    assert isinstance(values["memory/available"], int)
    assert 0 < values["memory/available"] < total
    assert abs(float(str(values["disk/used"])) - psutil.disk_usage("/").percent) < 5


def test_network_rates_are_bytes_a_second_between_two_readings(mocker: MockerFixture) -> None:
    counters = mocker.patch("tickseal_edge.sensors.host.psutil.net_io_counters")
    times = iter([0, 500_000_000])
    sensor = HostSensor(lambda: next(times))
    counters.return_value = mocker.Mock(bytes_recv=1000, bytes_sent=0)
    assert _by_name(sensor)["network/received"] is None
    counters.return_value = mocker.Mock(bytes_recv=2000, bytes_sent=50)
    values = _by_name(sensor)
    assert (values["network/received"], values["network/sent"]) == (2000.0, 100.0)


def test_what_the_machine_does_not_have_is_none(mocker: MockerFixture) -> None:
    mocker.patch("tickseal_edge.sensors.host.psutil.sensors_temperatures", return_value={})
    values = _by_name(HostSensor(lambda: 0, disk="/no/such/place"))
    assert values["cpu/temperature"] is None
    assert values["disk/used"] is None

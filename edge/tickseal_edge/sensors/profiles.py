"""Profiles: sensors that need no more in the configuration than their name."""

from dataclasses import dataclass

from tickseal_edge.sensors.readings import ReadingConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A sensor on an I2C bus; some can be wired to an SPI bus too.

    Args:
        driver: "module:class" of a Blinka driver.
        spi_driver: the same for SPI; empty where the chip has none.
        package: on PyPI, that brings it.
        address: as the board comes from its maker.
        readings: all that it measures, with the limits of its data sheet.
    """

    driver: str
    package: str
    address: int
    readings: tuple[ReadingConfig, ...]
    spi_driver: str = ""


def _axes(attribute: str, unit: str, most: float) -> tuple[ReadingConfig, ...]:
    return tuple(
        ReadingConfig(
            attribute=f"{attribute}[{index}]", name=f"{attribute}/{axis}", unit=unit,
            low=-most, high=most,
        )
        for index, axis in enumerate("xyz")
    )  # fmt: skip


PROFILES: dict[str, Profile] = {
    "bme280": Profile(
        driver="adafruit_bme280.basic:Adafruit_BME280_I2C",
        spi_driver="adafruit_bme280.basic:Adafruit_BME280_SPI",
        package="adafruit-circuitpython-bme280",
        address=0x77,
        readings=(
            ReadingConfig(attribute="temperature", unit="Cel", low=-40, high=85),
            ReadingConfig(
                attribute="relative_humidity", name="humidity", unit="%RH", low=0, high=100
            ),
            # The driver gives hPa.
            ReadingConfig(attribute="pressure", unit="Pa", scale=100, low=30_000, high=110_000),
        ),
    ),
    "sht4x": Profile(
        driver="adafruit_sht4x:SHT4x",
        package="adafruit-circuitpython-sht4x",
        address=0x44,
        readings=(
            # One measurement gives both.
            ReadingConfig(
                attribute="measurements[0]", name="temperature", unit="Cel", low=-40, high=125
            ),
            ReadingConfig(
                attribute="measurements[1]", name="humidity", unit="%RH", low=0, high=100
            ),
        ),
    ),
    "bh1750": Profile(
        driver="adafruit_bh1750:BH1750",
        package="adafruit-circuitpython-bh1750",
        address=0x23,
        readings=(
            ReadingConfig(attribute="lux", name="illuminance", unit="lx", low=0, high=121_557),
        ),
    ),
    "ads1115": Profile(
        driver="tickseal_edge.sensors.ads1115:ADS1115",
        package="adafruit-circuitpython-ads1x15",
        address=0x48,
        readings=tuple(
            ReadingConfig(attribute=f"voltages[{n}]", name=f"a{n}", unit="V", low=-6.2, high=6.2)
            for n in range(4)
        ),
    ),
    "mpu6050": Profile(
        driver="adafruit_mpu6050:MPU6050",
        package="adafruit-circuitpython-mpu6050",
        address=0x68,
        readings=(
            *_axes("acceleration", "m/s2", 160),
            *_axes("gyro", "rad/s", 36),
            ReadingConfig(attribute="temperature", unit="Cel", low=-40, high=85),
        ),
    ),
}


def driver_package(driver: str) -> str:
    """Return the package on PyPI that brings a driver, as CircuitPython names them."""
    module = driver.partition(":")[0].partition(".")[0]
    return module.replace("adafruit_", "adafruit-circuitpython-").replace("_", "-")

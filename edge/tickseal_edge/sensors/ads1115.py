"""The ADS1115's four inputs as one attribute, which its driver does not have."""

from adafruit_ads1x15 import ADS1115 as Driver
from adafruit_ads1x15 import AnalogIn


class ADS1115:
    """Four voltages against ground.

    Args:
        i2c: the bus.
        address: of the chip.
        gain: 2/3 for +/- 6.144 V, 1 for 4.096 V, up to 16.
    """

    def __init__(self, i2c: object, address: int = 0x48, gain: float = 2 / 3) -> None:
        driver = Driver(i2c, gain=gain, address=address)
        self._inputs = [AnalogIn(driver, pin) for pin in range(4)]

    @property
    def voltages(self) -> list[float]:
        """Volts at A0..A3; about 8 ms each."""
        return [float(one.voltage) for one in self._inputs]

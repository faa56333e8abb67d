"""Builds what tests run on where the cache lacks it: `python -m hil_tests.bench.builds`.

The virtual Pi's image, and the firmware of the emulated microcontrollers with their emulator. Tests
do it themselves otherwise, at the first use.
"""

from hil_tests.bench import cortex_m3, pico
from hil_tests.bench.virtual_pi.image import image

if __name__ == "__main__":
    print(image().disk)
    print(cortex_m3.firmware())
    print(pico.firmware())
    print(pico.search_path())

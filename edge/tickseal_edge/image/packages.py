"""Which packages a configuration needs on the device, besides what every device has."""

from tickseal_edge.config import EdgeConfig
from tickseal_edge.production.stream_config import CameraStream, DriverStream, GPIOStream
from tickseal_edge.sensors.profiles import PROFILES, driver_package


def needed_packages(config: EdgeConfig) -> tuple[list[str], list[str]]:
    """Return the extras of tickseal, and the packages of drivers."""
    extras, packages = {"edge"}, set()
    for stream in config.streams:
        if isinstance(stream, DriverStream):
            extras.add("sensors")
            profile = PROFILES.get(stream.profile)
            packages.add(profile.package if profile else driver_package(stream.driver))
        elif isinstance(stream, GPIOStream):
            extras.add("sensors")
        elif isinstance(stream, CameraStream):
            extras.add("v4l2")
    return sorted(extras), sorted(packages)

# What is frozen into the firmware: MicroPython's manifest format, not Python of ours.
freeze("$(PORT_DIR)/modules")
include("$(MPY_DIR)/extmod/asyncio")

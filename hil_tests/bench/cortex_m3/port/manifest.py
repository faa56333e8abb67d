# What is frozen into the firmware: MicroPython's manifest format, not Python of ours.
freeze("$(PORT_DIR)", "_boot.py")
include("$(MPY_DIR)/extmod/asyncio")

"""Microcontrollers at the end of a serial cable: build their program, put it there, look at them."""

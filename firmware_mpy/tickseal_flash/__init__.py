"""Microcontrollers on serial cables: build their program, put it there, look at them."""

"""main.py of a board: starts the program. Ctrl-C ends it and gives the REPL."""

import sys

if sys.implementation.version[:2] < (1, 22):
    print("tickseal needs MicroPython 1.22 or newer on this board: update it, then flash again")
else:
    import tickseal_board

    tickseal_board.run()

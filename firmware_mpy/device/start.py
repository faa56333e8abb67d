"""main.py of a board: starts the program. Ctrl-C ends it and gives the REPL."""

import tickseal_board

tickseal_board.run()

"""Runs at every start, also before a REPL: nothing to do, so that main.py can always be mended."""

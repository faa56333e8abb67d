"""Write every golden vector: `python tests/vectors/generate.py [folder]`, by default this one.

A second implementation of docs/protocol.md, made from its text alone. It shares no code with the
library; where the two disagree, one of them or the text is wrong.
"""

import sys
from pathlib import Path

import make_grants
import make_keys
import make_segments
import make_sessions

FILES = make_keys.FILES | make_segments.FILES | make_sessions.FILES | make_grants.FILES


def main(folder: Path) -> None:
    for name, make in FILES.items():
        (folder / name).write_text(make(), encoding="ascii")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)

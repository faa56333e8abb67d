"""`python -m tickseal_edge`: the service alone, in a process as small as it can be.

`tickseal edge run` turns into this one. It loads neither typer nor pydantic nor importlib.metadata,
which together would cost more memory than everything else here.
"""

import sys

# asyncio does without TLS where there is none, and none is used here: 1 MB less.
sys.modules.setdefault("ssl", None)  # type: ignore[arg-type]

from tickseal_edge.process import main  # noqa: E402

sys.exit(main(sys.argv[1:]))

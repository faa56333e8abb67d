"""The two texts that a Raspberry Pi's firmware reads from its FAT partition, with our lines in."""

import re
from collections.abc import Sequence

_BEGIN, _END = "# tickseal: begin", "# tickseal: end"
_BLOCK = re.compile(rf"\n*{_BEGIN}\n.*?{_END}\n", re.S)
_COUNTRY = re.compile(r"\s*cfg80211\.ieee80211_regdom=\S*")


def with_lines(config: str, lines: Sequence[str]) -> str:
    """Return config.txt with these lines at its end, for every board; and with no earlier ones."""
    plain = _BLOCK.sub("\n", config)
    if not lines:
        return plain
    ending = "" if not plain or plain.endswith("\n") else "\n"
    block = "\n".join([_BEGIN, "[all]", *lines, _END])
    return f"{plain}{ending}\n{block}\n"


def with_country(command_line: str, country: str) -> str:
    """Return cmdline.txt with the country whose rules Wi-Fi obeys: without one it stays off."""
    line = _COUNTRY.sub("", command_line.strip())
    return f"{line} cfg80211.ieee80211_regdom={country}\n"

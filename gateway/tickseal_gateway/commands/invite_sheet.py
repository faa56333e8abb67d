"""A sheet of invites to print: a card with its QR code for each device of a fleet."""

import os
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

from tickseal.core.errors import StoreError
from tickseal_gateway.commands import printing
from tickseal_gateway.commands.qr import qr_svg

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Invites</title>
<style>
body {{ font: 11pt/1.35 system-ui, sans-serif; margin: 1cm; color: #000; background: #fff; }}
main {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(6.2cm, 1fr)); gap: .5cm; }}
section {{ border: 1px solid #999; border-radius: 3mm; padding: 4mm; break-inside: avoid; }}
h2 {{ font-size: 12pt; margin: 0 0 2mm; overflow-wrap: anywhere; }}
svg {{ width: 100%; height: auto; }}
code {{ font-size: 6pt; overflow-wrap: anywhere; }}
</style>
<p>Each is for one device, once, until {until}: whoever has it can enrol. On the device:
<b>tickseal {command} enrol TOKEN</b>, or let it read the code.
Fingerprint of the gateway: {fingerprint}.</p>
<main>
{cards}
</main>
</html>
"""


def sheet(invites: Iterable[dict[str, Any]], *, command: str) -> str:
    """Return an HTML document that asks nothing of the network.

    Args:
        invites: as made, at least one.
        command: "edge" or "sink", which enrols.
    """
    made = list(invites)
    return _PAGE.format(
        until=printing.instant(made[0]["expires_ns"]),
        command=command,
        fingerprint=escape(made[0]["fingerprint"]),
        cards="\n".join(_card(invite) for invite in made),
    )


def write_sheet(path: Path, text: str) -> None:
    """Write a sheet, of mode 0600: it holds secrets.

    Raises:
        StoreError: it is there already, or the disk refuses.
    """
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}; name a new file") from None


def _card(invite: dict[str, Any]) -> str:
    code = qr_svg(invite["token"], is_sized=False).partition("?>")[2].strip()
    name = escape(invite["name"] or "any device")
    return f"<section><h2>{name}</h2>\n{code}\n<code>{invite['token']}</code></section>"

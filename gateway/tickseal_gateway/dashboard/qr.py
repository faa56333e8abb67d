"""An invite's token as a QR code, for a device with a camera or a phone that passes it on."""

import io

import segno


def qr_svg(text: str) -> str:
    """Return an SVG document of the code, black on white always, or few cameras read it."""
    out = io.BytesIO()
    segno.make(text, error="l", micro=False).save(
        out, kind="svg", border=4, dark="#000", light="#fff", svgclass=None, lineclass=None
    )
    return out.getvalue().decode()

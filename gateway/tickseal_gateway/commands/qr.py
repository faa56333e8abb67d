"""An invite's token as a QR code, for a device with a camera or a phone that passes it on."""

import io

import segno


def qr_svg(text: str, *, is_sized: bool = True) -> str:
    """Return an SVG document of the code, black on white always, or few cameras read it.

    Args:
        is_sized: or else it is as large as it may.
    """
    out = io.BytesIO()
    segno.make(text, error="l", micro=False).save(
        out, kind="svg", border=4, dark="#000", light="#fff", svgclass=None, lineclass=None,
        omitsize=not is_sized,
    )  # fmt: skip
    return out.getvalue().decode()

"""Vectors of section 9: grants to separate sinks, and what they open."""

from typing import Any

import reference as ref
from make_keys import described, make_stream
from notation import document, fixed, noted
from reference_cbor import encode


def grant_message(
    stream: ref.Stream, ticks: tuple[int, int], frame_from: int, device: str = "yard-camera"
) -> dict[str, Any]:
    """The control message that grants the ticks [from, until), rounded out to whole epochs."""
    depth, bits = stream.p["depth"], stream.p["epoch_bits"]
    first, until = ticks[0] >> bits, (ticks[1] - 1 >> bits) + 1
    return {
        "m": "grant",
        "device": device,
        "handle": stream.handle,
        "metadata": stream.metadata,
        "parameters": stream.parameters,
        "ticks": list(ticks),
        "frame_from": frame_from,
        "nodes": [
            [level, index, ref.node_secret(stream.root, depth, level, index)]
            for level, index in ref.cover(depth, first, until)
        ],
    }


def case(
    name: str, ticks: tuple[int, int], frame_from: int, rows: list[tuple[int, int, str]], **p: int
) -> dict[str, Any]:
    """One grant, and for each (tick, frame) a segment with what becomes of it at that tick."""
    stream = make_stream(name, **p)
    message = grant_message(stream, ticks, frame_from)
    middle = stream.p["interval"] // 2
    segments = []
    for tick, frame, answer in rows:
        (part,) = stream.seal(fixed(f"{name} {tick} {frame}", 12), tick, frame)
        now = stream.p["t0"] + tick * stream.p["interval"] + middle
        segments.append(
            {"tick": tick, "frame": frame, "clock": [now, now], "segment": part["segment"]}
            | ({"opened": fixed(f"{name} {tick} {frame}", 12)} if answer == "" else {})
            | ({"refused": answer} if answer else {})
        )
    return {
        "name": name,
        "stream": described(stream),
        "map": noted(message),
        "encoding": encode(message),
        "segments": segments,
    }


def grants() -> str:
    cases = [
        case(
            "grant of a minute",
            (1000, 1601),
            40,
            [
                (999, 41, "late"),
                (1000, 39, "stale"),
                (1000, 40, ""),
                (1300, 55, ""),
                (1600, 90, ""),
                (1601, 91, "late"),
            ],
        ),
        case("grant of one tick", (7, 8), 0, [(6, 0, "late"), (7, 1, ""), (8, 2, "late")]),
        case(
            "grant rounded out to epochs",
            (1030, 1031),
            0,
            [(1023, 0, "late"), (1024, 1, ""), (1039, 2, ""), (1040, 3, "late")],
            epoch_bits=4,
            renewal=0,
        ),
        case(
            "grant up to the tree's end",
            (200, 256),
            2**33,
            [(199, 2**33, "late"), (255, 2**33 + 1, "")],
            depth=8,
            suite=3,
        ),
    ]
    stream = make_stream("grant refused", depth=8)
    good = grant_message(stream, (16, 48), 0)
    nodes: list[list[Any]] = good["nodes"]
    assert [node[:2] for node in nodes] == [[4, 1], [4, 2]]
    wider = grant_message(stream, (16, 64), 0)["nodes"]
    refused = {
        "nodes of fewer ticks": {"nodes": nodes[:1]},
        "nodes of more ticks": {"nodes": wider},
        "nodes with a gap": {"nodes": [nodes[0], [4, 3, fixed("gap")]], "ticks": [16, 64]},
        "nodes not ascending": {"nodes": nodes[::-1]},
        "a level above the root": {"nodes": [[9, 0, fixed("above")]], "ticks": [0, 512]},
        "an index beyond its level": {"nodes": [[4, 16, fixed("beyond")]], "ticks": [256, 272]},
        "no node": {"nodes": []},
        "a secret of 31 bytes": {"nodes": [[4, 1, bytes(31)], [4, 2, bytes(32)]]},
        "no tick": {"ticks": [16, 16]},
        "metadata that are none": {"metadata": b"\xa0"},
        "parameters that are none": {"parameters": b"\xa0"},
        "depth 0": {"parameters": make_stream("grant refused", depth=0).parameters},
    }
    return document(
        "section 9",
        cases=cases,
        refused=[
            {"why": why, "encoding": encode({**good, **change})} for why, change in refused.items()
        ],
    )


FILES = {"grants.json": grants}

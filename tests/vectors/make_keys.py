"""Vectors of sections 1 to 4: encodings, parameters, keys, the tree, ticks."""

import math
from typing import Any

import reference as ref
from notation import document, fixed, noted
from reference_cbor import decode, encode

T0 = 1_800_000_000 * 10**9


def refuses(check: Any, encoding: bytes) -> bool:
    try:
        check(encoding)
    except ValueError:
        return True
    return False


def cbor() -> str:
    values: list[Any] = [
        0, 23, 24, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**64 - 1,
        -1, -24, -25, -256, -257, -65536, -65537, -(2**32), -(2**32) - 1, -(2**63), -(2**64),
        0.0, -0.0, 1.0, 1.5, 65504.0, 65505.0, 100000.0, 3.4028234663852886e38, 1e300, 0.1, -4.1,
        2.0**-24, 2.0**-25, 2.0**-149, 2.0**-150, math.inf, -math.inf, math.nan,
        False, True, None, b"", b"\x00" * 23, b"\xff" * 24, bytes(256),
        "", "a", "\u00fc", "\u6c34", "\U00010151", "x" * 23, "x" * 24, "x" * 256,
        [], [1, [2, 3], [4, 5]], list(range(24)), {}, {"a": 1, "b": [2, 3]},
        {"b": 1, "aa": 2, "a": 3, "": 4, "\u00fc": 5, "x" * 23: 6, "x" * 24: 7, "B": 8},
        {"outer": {"z": None, "y": {"x": b"\x01"}}, "list": [{"b": 1.0, "a": 1}]},
    ]  # fmt: skip
    refused = {
        "empty": "", "two items": "0000", "integer 23 in two bytes": "1817",
        "integer 255 in three bytes": "1900ff", "integer in nine bytes": "1b00000000ffffffff",
        "negative in two bytes": "3817", "text length not shortest": "780161",
        "bytes length not shortest": "580100", "array length not shortest": "980100",
        "map length not shortest": "b801616100", "indefinite bytes": "5f4100ff",
        "indefinite text": "7f6161ff", "indefinite array": "9f00ff", "indefinite map": "bf616100ff",
        "break alone": "ff", "keys not sorted": "a2616200616100",
        "keys sorted by content, not by encoding": "a262616100616200",
        "key twice": "a2616100616101", "integer key": "a10000", "bytes key": "a1416100",
        "null key": "a1f600", "nested integer key": "a16161a10000", "tag": "c000",
        "tagged bignum": "c249010000000000000000",
        "self-described": "d9d9f700", "undefined": "f7", "simple 0": "e0", "simple 19": "f3",
        "simple 32": "f820", "simple 255": "f8ff", "false in two bytes": "f814",
        "1.0 in five bytes": "fa3f800000", "1.0 in nine bytes": "fb3ff0000000000000",
        "single in nine bytes": "fb40f86a0000000000", "infinity in five bytes": "fa7f800000",
        "NaN in nine bytes": "fb7ff8000000000000", "NaN with a payload": "f97e01",
        "negative NaN": "f9fe00",
        "signalling NaN": "f97d00", "reserved 28": "1c", "reserved 31 of an integer": "1f",
        "truncated integer": "19ff", "truncated text": "6261", "truncated bytes": "4200",
        "truncated array": "820100"[:4], "truncated map": "a16161", "truncated float": "f93c",
        "array longer than any input": "9bffffffffffffffff", "text that is not UTF-8": "61ff",
        "surrogate in text": "63eda080", "overlong UTF-8": "62c080",
    }  # fmt: skip
    for value in values:
        assert noted(decode(encode(value))) == noted(value)
    for why, encoding in refused.items():
        assert refuses(decode, bytes.fromhex(encoding)), why
    return document(
        "section 1",
        accepted=[{"value": noted(value), "encoding": encode(value)} for value in values],
        refused=[{"why": why, "encoding": encoding} for why, encoding in refused.items()],
    )


def metadata() -> str:
    small = {"id": "s", "type": "t"}
    deep: Any = 0
    for _ in range(8):
        deep = [deep]
    accepted: list[dict[str, Any]] = [
        small,
        {"id": "greenhouse/bed-2/soil", "type": "temperature", "qos": 1, "unit": "Cel"},
        {"id": "yard", "type": "image/jpeg", "qos": "best effort", "width": 1920, "height": 1080},
        {"id": "\u6c34\u6e29", "type": "telemetry", "unit": "%RH", "note": "\u00fcber"},
        {**small, "qos": 0}, {**small, "qos": 255}, {**small, "qos": "x" * 64},
        {**small, "a": None, "b": True, "c": -1.5, "d": b"\x00\xff", "e": [1, {"f": [2]}], "g": {}},
        {**small, "least": -(2**63), "most": 2**64 - 1, "": "a key may be empty"},
        {"id": "i" * 128, "type": "t" * 64, "unit": "u" * 32}, {**small, "deep": deep},
        {**small, "fill": bytes(1024 - len(encode(small)) - 5 - 3)},
    ]  # fmt: skip
    refused: dict[str, Any] = {
        "not a map": ["id", "type"], "no id": {"type": "t"}, "no type": {"id": "s"},
        "id empty": {**small, "id": ""}, "id of 129 bytes": {**small, "id": "i" * 129},
        "id of 65 letters in 130 bytes": {**small, "id": "\u00fc" * 65}, "id not text": {**small,
        "id": b"s"},
        "control character in id": {**small, "id": "a\nb"}, "DEL in id": {**small, "id": "a\x7f"},
        "C1 control character in id": {**small, "id": "a\x85"},
        "type empty": {**small, "type": ""}, "type of 65 bytes": {**small, "type": "t" * 65},
        "control character in type": {**small, "type": "\x00"}, "qos null": {**small, "qos": None},
        "qos 256": {**small, "qos": 256}, "qos -1": {**small, "qos": -1}, "qos true": {**small,
        "qos": True},
        "qos float": {**small, "qos": 1.0}, "qos empty": {**small, "qos": ""},
        "qos of 65 bytes": {**small, "qos": "q" * 65}, "unit null": {**small, "unit": None},
        "unit of 33 bytes": {**small, "unit": "u" * 33}, "unit empty": {**small, "unit": ""},
        "nine deep": {**small, "deep": [deep]},
        "1025 bytes": {**small, "fill": bytes(1025 - len(encode(small)) - 5 - 3)},
    }  # fmt: skip
    for one in accepted:
        ref.check_metadata(encode(one))
    assert len(encode(accepted[-1])) == 1024
    for why, one in refused.items():
        assert refuses(ref.check_metadata, encode(one)), why
    return document(
        "section 2.1",
        accepted=[
            {"map": noted(one), "encoding": encode(one), "digest": ref.sha256(encode(one))}
            for one in accepted
        ],
        refused=[{"why": why, "encoding": encode(one)} for why, one in refused.items()],
    )


def parameters() -> str:
    base = {**ref.DEFAULTS, "generation": 0x0123456789ABCDEF, "t0": T0}
    small = encode({"id": "s", "type": "t"})
    accepted = [
        base,
        {**base, "depth": 0, "epoch_bits": 32, "generation": 0, "hash": 8, "t0": 0, "suite": 3},
        {**base, "depth": 48, "generation": 2**64 - 1, "hash": 32, "renewal": 0, "suite": 2},
        {**base, "interval": 1000, "past": 0, "skew": 0, "t0": 18446744073 * 10**9},
        {**base, "interval": 86400 * 10**9, "past": 3600 * 10**9, "skew": 3600 * 10**9},
        {**base, "profile": 1, "frame_bytes": 256 * 16, "segment_bytes": 16},
        {**base, "frame_bytes": 65536 * 1024, "segment_bytes": 1024},
        {**base, "frame_bytes": 1, "segment_bytes": 65000},
    ]
    changes: dict[str, dict[str, Any]] = {
        "depth 49": {"depth": 49}, "depth -1": {"depth": -1}, "depth true": {"depth": True},
        "epoch_bits 33": {"epoch_bits": 33}, "frame_bytes 0": {"frame_bytes": 0},
        "frame_bytes above 2^26": {"frame_bytes": 2**26 + 1}, "generation -1": {"generation": -1},
        "hash 7": {"hash": 7}, "hash 33": {"hash": 33}, "interval 999": {"interval": 999},
        "interval above a day": {"interval": 86400 * 10**9 + 1},
        "interval float": {"interval": 1e8},
        "past above an hour": {"past": 3600 * 10**9 + 1}, "past -1": {"past": -1},
        "past null": {"past": None},
        "profile 2": {"profile": 2}, "renewal 2": {"renewal": 2},
        "segment_bytes 15": {"segment_bytes": 15},
        "segment_bytes 65001": {"segment_bytes": 65001},
        "skew above an hour": {"skew": 3600 * 10**9 + 1},
        "suite 0": {"suite": 0}, "suite 4": {"suite": 4}, "t0 within a second": {"t0": T0 + 1},
        "t0 text": {"t0": "0"}, "one key more": {"note": 0},
        "65537 segments": {"frame_bytes": 2**20 + 1, "segment_bytes": 16},
        "257 compact segments": {"profile": 1, "frame_bytes": 4097, "segment_bytes": 16},
    }  # fmt: skip
    refused = {why: {**base, **change} for why, change in changes.items()}
    refused["one key less"] = {key: value for key, value in base.items() if key != "skew"}
    for why, one in refused.items():
        assert refuses(ref.check_parameters, encode(one)), why
    for one in accepted:
        ref.check_parameters(encode(one))
    return document(
        "sections 2.2 and 2.3",
        defaults=ref.DEFAULTS,
        metadata=small,
        accepted=[
            {"map": one, "encoding": encode(one), "context": ref.context(small, encode(one))}
            for one in accepted
        ],
        refused=[{"why": why, "encoding": encode(one)} for why, one in refused.items()],
    )


def make_stream(name: str, **changes: int) -> ref.Stream:
    """A stream with fixed secrets of its own."""
    generation = int.from_bytes(fixed(f"{name} generation", 8), "big")
    handle = int.from_bytes(fixed(f"{name} handle", 4), "big")
    values = {**ref.DEFAULTS, "generation": generation, "t0": T0, **changes}
    described = encode({"id": name, "type": "telemetry"})
    secrets = (fixed(f"{name} initial"), fixed(f"{name} salt"))
    return ref.Stream(described, encode(values), *secrets, handle)


def described(stream: ref.Stream) -> dict[str, Any]:
    return {
        "metadata": stream.metadata,
        "parameters": stream.parameters,
        "initial_secret": stream.initial_secret,
        "salt": stream.salt,
        "handle": stream.handle,
        "context": stream.context,
    }


def keyschedule() -> str:
    few = [(0, 0), (1, 0), (1, 1), (2, 2)]
    cases: list[tuple[dict[str, int], list[tuple[int, int]]]] = [
        ({}, [*few, (2**31, 7), (2**32 - 1, 2**64 - 1), (0x12345678, 0xFEDCBA9876543210)]),
        ({"renewal": 0}, [*few, (2**32 - 1, 2**64 - 1)]),
        ({"depth": 0}, [*few, (2**32, 3), (2**64 - 1, 2**64 - 1)]),
        ({"depth": 0, "renewal": 0, "epoch_bits": 5}, [*few, (2**64 - 1, 9)]),
        ({"depth": 1}, [(0, 0), (1, 1)]),
        ({"depth": 1, "epoch_bits": 4}, [(0, 0), (15, 1), (16, 2), (31, 3)]),
        ({"depth": 48}, [*few, (2**48 - 1, 5), (2**47, 6)]),
        ({"depth": 48, "epoch_bits": 16}, [(0, 0), (65535, 1), (65536, 2), (2**64 - 1, 3)]),
        ({"depth": 32, "epoch_bits": 32}, [(2**32 - 1, 0), (2**32, 1), (2**64 - 1, 2)]),
        ({"suite": 2, "hash": 32, "epoch_bits": 3}, [(7, 0), (8, 1)]),
        ({"suite": 3, "hash": 8, "profile": 1, "frame_bytes": 4096, "segment_bytes": 64}, few),
        ({"suite": 3, "hash": 13}, [(3, 1)]),
    ]
    out = []
    for number, (changes, frames) in enumerate(cases):
        s = make_stream(f"schedule {number}", **changes)
        rows = []
        for tick, frame in frames:
            key = s.frame_key(tick, frame)
            row = {"tick": tick, "frame": frame, "epoch": tick >> s.p["epoch_bits"]}
            keys = {"frame_key": key, "aead_key": s.aead_key(key), "key_hash": s.key_hash(key)}
            nonce = {"segment_index": 258, "nonce": ref.nonce_of(frame, 258)}
            rows.append({**row, "epoch_secret": s.epoch_secret(tick), **keys, **nonce})
        top = {"prk": s.prk, "root": s.root, "confirm": s.confirm}
        out.append({"changed": changes, **described(s), **top, "frames": rows})
    ends = [
        ("root", fixed("context"), 32),
        ("confirm", b"", 16),
        ("x" * 52, bytes(63), 32),
        ("a", b"", 65),
    ]
    expands = [
        {"secret": fixed("expand"), "label": label, "context": context, "n": n,
         "output": ref.expand(fixed("expand"), label, context, n)}
        for label, context, n in ends
    ]  # fmt: skip
    return document("sections 1 and 3", expand=expands, schedules=out)


def keytree() -> str:
    trees: list[tuple[int, list[int], list[tuple[int, int]]]] = [
        (0, [0], [(0, 1)]),
        (1, [0, 1], [(0, 1), (1, 2), (0, 2)]),
        (3, list(range(8)), [(0, 8), (0, 7), (1, 8), (1, 7), (3, 5), (4, 8), (2, 6), (5, 6), (7,
        8)]),
        (32, [0, 1, 2**31 - 1, 2**31, 2**32 - 1, 0x12345678],
         [(0, 2**32), (1, 2**32), (1, 2**32 - 1), (2**31 - 1, 2**31 + 1), (100, 200), (2**32 - 1,
         2**32)]),
        (48, [0, 2**47, 2**48 - 1, 0x0123456789AB], [(1, 2**48 - 1), (2**40, 2**41), (864000,
        1728000)]),
    ]  # fmt: skip
    out = []
    for depth, leaves, spans in trees:
        root = fixed(f"tree {depth}")
        grants = []
        for start, until in spans:
            nodes = [
                {
                    "level": level,
                    "index": index,
                    "secret": ref.node_secret(root, depth, level, index),
                }
                for level, index in ref.cover(depth, start, until)
            ]
            covered = [(n["index"] << n["level"], n["index"] + 1 << n["level"]) for n in nodes]
            ends = [start, *(end for _, end in covered)]
            assert [first for first, _ in covered] == ends[:-1] and ends[-1] == until
            grants.append({"from": start, "until": until, "nodes": nodes})
        secrets = [{"epoch": e, "secret": ref.node_secret(root, depth, 0, e)} for e in leaves]
        out.append({"depth": depth, "root": root, "leaves": secrets, "grants": grants})
    return document("section 3", trees=out)


def ticks() -> str:
    second, milli = 10**9, 10**6
    instants = [
        (T0, 100 * milli), (T0 + 1, 100 * milli), (T0 + 100 * milli - 1, 100 * milli),
        (T0 + 100 * milli, 100 * milli), (T0 - 1, 100 * milli), (0, 1000), (T0 + 86400 * second,
        1000),
        (T0 + 86400 * second - 1, 86400 * second), (2**64 - 1, 1000),
    ]  # fmt: skip
    p = {**ref.DEFAULTS, "generation": 1, "t0": T0}
    compact = {**p, "profile": 1, "frame_bytes": 4096, "segment_bytes": 64}
    fast = {**p, "interval": 1000, "past": 3600 * second}
    readings = [
        (p, T0 + second, T0 + second + 10), (p, T0 + 100 * second, T0 + 100 * second),
        (p, T0 + 100 * second, T0 + 103 * second), (p, T0 - 2 * second, T0 - second),
        (p, T0 - second, T0 - 500 * milli - 1), (p, T0 - second, T0 - 500 * milli), (p, T0, T0),
        (p, T0 - 5 * second, T0 + 5 * second), (compact, T0 + 7000 * second,
        T0 + 7000 * second + 1),
        (fast, T0 + 7200 * second, T0 + 7200 * second), (fast, T0, T0 + 20 * second),
        ({**compact, "interval": milli, "past": 65035 * milli, "skew": 500 * milli},
        T0 + 99 * second, T0 + 99 * second),
        ({**compact, "interval": milli, "past": 65034 * milli, "skew": 500 * milli},
        T0 + 99 * second, T0 + 99 * second),
    ]  # fmt: skip
    windows = []
    for used, earliest, latest in readings:
        found = ref.window(used, earliest, latest)
        bits = ref.TICK_BITS[used["profile"]]
        keys = ("interval", "past", "profile", "skew", "t0")
        row = {key: used[key] for key in keys} | {"earliest": earliest, "latest": latest}
        windows.append({**row, "window": found, "narrowed": found and ref.narrowed(found, bits)})
    tried = []
    for bits in (24, 16):
        span, half = 1 << bits, 1 << (bits - 1)
        for lower, upper in ((0, 5), (0, 0), (7, 7), (980, 1005), (span - 3, span + 4),
        (5 * span - 9, 5 * span),
                             (half - 2, half + 2), (0, span - 2), (0, span - 1), (10,
                             10 + 3 * span)):  # fmt: skip
            middle, edges = (lower + upper) // 2, ref.narrowed((lower, upper), bits)
            full = {
                edges[0] - 1,
                edges[0],
                middle,
                edges[1],
                edges[1] + 1,
                middle - half,
                middle + half - 1,
            }
            for low in sorted({tick % span for tick in full}):
                tick, verdict = ref.rebuild_tick((lower, upper), bits, low)
                row = {"bits": bits, "lower": lower, "upper": upper, "low": low}
                tried.append({**row, "candidate": tick, "verdict": verdict})
    late_lane = [
        {"bits": bits, "from": start, "until": until, "low": low % (1 << bits),
         "tick": ref.rebuild_backfill((start, until), bits, low % (1 << bits))}
        for bits in (24, 16)
        for start, until in ((0, 10), (100, 200), ((1 << bits) - 5, (1 << bits) + 5), (9,
        9 + (1 << bits - 1)))
        for low in (start, start + 1, until - 1, until, start - 1)
    ]  # fmt: skip
    frames = [
        {"bits": bits, "highest": highest, "low": low % (1 << bits),
         "frame": ref.rebuild_frame(highest, bits, low % (1 << bits))}
        for bits in (32, 16)
        for span in (1 << bits,)
        for highest in (-1, 0, span // 2 - 2, span // 2 - 1, span // 2, span - 1, span,
        5 * span + 17)
        for low in (0, highest, highest + 1, highest + 2, highest + span // 2,
        highest + span // 2 + 1)
    ]  # fmt: skip
    sealing = [
        {"earliest": T0 + early, "latest": T0 + late, "last": last,
         "tick": max(last, ref.tick_at(T0 + (early + late) // 2, T0, 100 * milli) or 0)}
        for early, late, last in ((0, 0, -1), (0, 200 * milli, 0), (0, 200 * milli, 5), (0,
        199999999, -1),
                                  (10 * second, 12 * second, 109), (10 * second, 12 * second, 111))
    ]  # fmt: skip
    return document(
        "section 4",
        tick_at=[
            {"instant": at, "t0": t0, "interval": interval, "tick": ref.tick_at(at, t0, interval)}
            for at, interval in instants
            for t0 in (T0 if at else 0,)
        ],
        sealing={"t0": T0, "interval": 100 * milli, "readings": sealing},
        window=windows,
        rebuild_tick=tried,
        rebuild_backfill=late_lane,
        rebuild_frame=frames,
    )


FILES = {
    "cbor.json": cbor,
    "metadata.json": metadata,
    "parameters.json": parameters,
    "keyschedule.json": keyschedule,
    "keytree.json": keytree,
    "ticks.json": ticks,
}

"""Vectors of sections 6 and 7: records, handshakes, session secrets, invites, control."""

import base64
import json
from pathlib import Path
from typing import Any

import reference_noise as noise
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from make_grants import grant_message
from make_keys import T0, make_stream
from notation import document, fixed, noted
from reference_cbor import encode

HERE = Path(__file__).parent
NOW = [T0 + 10**9, T0 + 10**9 + 2_000_000]
HELLO = {
    "m": "hello", "role": "source", "name": "yard camera", "software": "tickseal/0.1.0",
    "suites": [1, 2, 3], "tai": NOW, "discipline": "ntp",
}  # fmt: skip
WELCOME = {"m": "welcome", "name": "gateway", "tai": NOW, "udp": 4460}


def control_messages() -> list[dict[str, Any]]:
    s, handle, generation = make_stream("control"), 0xA1B2C3D4, 2**64 - 2
    both = {"handle": handle, "generation": generation}
    clock = {"tai": NOW, "discipline": "ptp"}
    wish = {
        "depth": 32, "epoch_bits": 0, "frame_bytes": 65536, "hash": 16, "interval": 10**8,
        "past": 0,
        "profile": 0, "renewal": 1, "segment_bytes": 1200, "skew": 10**8, "suites": [3, 1],
    }  # fmt: skip
    opened = {"parameters": s.parameters, "salt": s.salt, "confirm": s.confirm}
    return [
        HELLO,
        {**HELLO, "role": "sink", "suites": [3], "tai": [0, 2**64 - 1], "discipline": "none"},
        WELCOME,
        {**WELCOME, "udp": 0},
        {"m": "enrolled", "device": "yard-camera"},
        {"m": "stored"},
        *({"m": m, "n": n, **clock} for m, n in (("ping", 0), ("ping", 2**64 - 1), ("pong", 7))),
        *({"m": "ping", "n": 1, "tai": NOW, "discipline": one} for one in ("pps", "kernel",
        "gateway", "holdover")),
        {"m": "alarm", "reason": "clock", "detail": "12 ms apart"},
        {"m": "revoked"},
        {"m": "bye", "reason": "shutdown"},
        {"m": "open", "metadata": s.metadata, "wish": wish},
        {"m": "open", "metadata": s.metadata, "wish": {}},
        {"m": "opened", "stream": "control", **both, **opened},
        {"m": "refused", "stream": "control", "reason": "policy",
        "detail": "depth 0 is not allowed"},
        {"m": "close", **both},
        {"m": "report", "streams": [[handle, generation, 120, 117, 3], [1, 0, 0, 0, 0]]},
        {"m": "report", "streams": []},
        {"m": "resync", **both, "reason": "key_hash"},
        {"m": "rekey", "handle": handle},
        {"m": "offer", "blob": fixed("blob", 80)},
        {"m": "offered", **both, "accepted": True, "reason": ""},
        {"m": "offered", **both, "accepted": False, "reason": "generation"},
        {"m": "backfill", **both, "ticks": [100, 200], "frames": [0, 2**40]},
        {"m": "stored_until", **both, "frame_until": 2**40},
        {"m": "backfilled", **both},
        {"m": "subscribe", "streams": []},
        {"m": "subscribe", "streams": ["yard", "\u6c34\u6e29"]},
        grant_message(s, (100, 700), 2**33),
        {"m": "withdrawn", **both, "reason": "ended"},
        {"m": "recall", "stream": "yard", "tai": NOW},
        {"m": "recalled", "stream": "yard", "part": fixed("part", 100), "last": False,
        "reason": ""},
        {"m": "recalled", "stream": "yard", "part": b"", "last": True, "reason": "policy"},
    ]  # fmt: skip


def clock_checks() -> list[dict[str, Any]]:
    """Section 7.5: a pong's [ce, cl] against [se, rl] of ours."""
    rows = []
    for answer in ([100, 110], [0, 10], [0, 9], [190, 300], [191, 300], [0, 1000], [50, 60]):
        sent, received = [10, 20], [180, 190]
        agrees = answer[0] <= received[1] and sent[0] <= answer[1]
        row = {"answer": answer, "sent": sent, "received": received}
        rows.append({**row, "agrees": agrees})
    return rows


def control() -> str:
    refused = {
        "no m": {"n": 1}, "m not text": {"m": 1}, "not a map": ["stored"],
        "unknown key": {"m": "stored", "note": "x"}, "unknown key in open.wish": {
            "m": "open", "metadata": b"\xa0", "wish": {"speed": 1}},
        "key missing": {"m": "ping", "n": 1, "tai": NOW}, "n negative": {"m": "ping", "n": -1,
        "tai": NOW, "discipline": "ntp"},
        "tai of three": {"m": "ping", "n": 1, "tai": [*NOW, 0], "discipline": "ntp"},
        "unknown discipline": {"m": "ping", "n": 1, "tai": NOW, "discipline": "sundial"},
        "unknown role": {**HELLO, "role": "spy"}, "name empty": {**HELLO, "name": ""},
        "name of 65": {**HELLO, "name": "n" * 65}, "handle beyond u32": {"m": "rekey",
        "handle": 2**32},
        "udp beyond a port": {**WELCOME, "udp": 65536}, "accepted a number": {
            "m": "offered", "handle": 1, "generation": 1, "accepted": 1, "reason": ""},
        "a stream named twice": {"m": "subscribe", "streams": ["a", "a"]},
        "65 streams": {"m": "subscribe", "streams": [str(n) for n in range(65)]},
        "an empty stream id": {"m": "subscribe", "streams": [""]},
    }  # fmt: skip
    return document(
        "section 7",
        clock_check=clock_checks(),
        accepted=[{"map": noted(one), "encoding": encode(one)} for one in control_messages()],
        ignored=[{"why": "unknown message", "encoding": encode({"m": "weather", "rain": True})}],
        refused=[{"why": why, "encoding": encode(one)} for why, one in refused.items()],
    )


def records() -> str:
    s = make_stream("records", segment_bytes=16, frame_bytes=64)
    cut = [bytes(part["segment"]) for part in s.seal(fixed("record", 40), 1, 0)]
    bodies = [(1, fixed("m1", 96)), (2, fixed("m2", 60)), (3, fixed("m3", 48)), (4, fixed("m4",
    80)),
              (5, fixed("m5", 33)), (6, noise.data_body(cut[:1])), (6, noise.data_body(cut)), (5,
              bytes(65534))]  # fmt: skip
    made = [
        {"type": kind, "body": body, "record": noise.record(kind, body)} for kind, body in bodies
    ]
    data = noise.data_body(cut)
    return document(
        "section 6.1",
        records=made[:-1],
        longest={"type": 5, "body_bytes": 65534, "fill": "00", "head": made[-1]["record"][:3]},
        stream=b"".join(one["record"] for one in made[:-1]),
        data=[{"segments": cut[:n], "body": noise.data_body(cut[:n])} for n in (1, len(cut))],
        refused=[
            {"why": "length 0", "record": b"\x00\x00", "reason": "truncated"},
            {"why": "type 0", "record": noise.record(0, b"x"), "reason": "version"},
            {"why": "type 7", "record": noise.record(7, b"x"), "reason": "version"},
            {"why": "type 255", "record": noise.record(255, b"x"), "reason": "version"},
            {
                "why": "data without a segment",
                "record": noise.record(6, b""),
                "reason": "truncated",
            },
            {
                "why": "data, half a length",
                "record": noise.record(6, data + b"\x00"),
                "reason": "truncated",
            },
            {
                "why": "data, a segment cut off",
                "record": noise.record(6, data[:-1]),
                "reason": "truncated",
            },
        ],
    )


def kem() -> dict[str, bytes]:
    """The recorded encapsulation to a fixed key: encapsulation is random, so it was made once."""
    path, key = HERE / "encapsulation.json", MLKEM768PrivateKey.from_seed_bytes(fixed("kem", 64))
    if not path.exists():
        shared, ciphertext = key.public_key().encapsulate()
        path.write_text(document("section 6.2", ciphertext=ciphertext, shared_secret=shared))
    recorded = json.loads(path.read_text())
    ciphertext = bytes.fromhex(recorded["ciphertext"])
    assert key.decapsulate(ciphertext).hex() == recorded["shared_secret"]
    encapsulation_key = key.public_key().public_bytes_raw()
    return {
        "kem_seed": fixed("kem", 64),
        "kem_public": encapsulation_key,
        "kem_ciphertext": ciphertext,
        "kem_shared_secret": bytes.fromhex(recorded["shared_secret"]),
    }


def keys() -> dict[str, bytes]:
    ends = ("initiator_static", "initiator_ephemeral", "responder_static", "responder_ephemeral")
    return {end: fixed(end) for end in ends}


def case(name: str, hybrid: bool, **given: bytes) -> dict[str, Any]:
    """One handshake; where it opens a session, the first messages of it too."""
    used = kem() if hybrid else {}
    parts = {key: used[key] for key in ("kem_seed", "kem_ciphertext") if key in used}
    out = noise.Handshake(**keys(), **parts, **given).run()
    psk, first, second = given["psk"], 2 if hybrid else 1, 4 if given.get("payload_2") else 3
    whole = {"name": name, "psk": psk, "payload_1": given.get("payload_1", b"")}
    whole |= {"payload_2": given.get("payload_2", b""), **out}
    whole |= {
        "record_1": noise.record(first, out["message_1"]),
        "record_2": noise.record(second, out["message_2"]),
    }
    if second == 3:
        ping = encode({"m": "ping", "n": 0, "tai": NOW, "discipline": "ntp"})
        said = [
            ("k1", 0, encode(HELLO)),
            ("k2", 0, encode(WELCOME)),
            ("k2", 1, ping),
            ("k1", 1, ping),
        ]
        whole["transport"] = [
            {
                "key": key,
                "n": n,
                "plaintext": text,
                "ciphertext": noise.transport(out[key], n, text),
            }
            for key, n, text in said
        ]
    else:
        del whole["k1"], whole["k2"], whole["exporter"]
    return whole


def handshake(hybrid: bool) -> str:
    invite = {"psk": fixed("invite secret"), "payload_1": fixed("invite id", 8)}
    enrolment = case("enrolment", hybrid, **invite)
    psk = noise.Exporter(enrolment["exporter"], enrolment["h"]).device_psk()
    unknown = encode({"m": "refused", "reason": "unknown"})
    cases = [
        enrolment | {"device_psk": psk},
        case("an enrolled device", hybrid, psk=psk),
        case("a refusal", hybrid, psk=noise.REFUSAL_PSK, payload_2=unknown),
    ]
    good = cases[1]
    m1, m2 = good["message_1"], good["message_2"]
    refused = [
        {"message": 1, "why": "tag changed", "bytes": m1[:-1] + bytes([m1[-1] ^ 1])},
        {"message": 1, "why": "ephemeral all zero: DH all zero", "bytes": bytes(32) + m1[32:]},
        {"message": 1, "why": "ephemeral of order 4: DH all zero",
        "bytes": b"\x01" + bytes(31) + m1[32:]},
        {"message": 1, "why": "cut", "bytes": m1[:-1]},
        {"message": 1, "why": "one byte more", "bytes": m1 + b"\x00"},
        {"message": 2, "why": "tag changed", "bytes": m2[:-1] + bytes([m2[-1] ^ 1])},
        {"message": 2, "why": "byte 40 changed", "bytes": m2[:40] + bytes([m2[40] ^ 1]) + m2[41:]},
        {"message": 2, "why": "cut", "bytes": m2[:-1]},
        {"message": 2, "why": "made with the refusal PSK, in a record of type 3",
        "bytes": cases[2]["message_2"]},
    ]  # fmt: skip
    pairs = {"initiator_static_public": noise.public(fixed("initiator_static"))}
    pairs["responder_static_public"] = noise.public(fixed("responder_static"))
    return document(
        "section 6.2",
        protocol=noise.HYBRID if hybrid else noise.CLASSICAL,
        prologue=b"tickseal/1",
        **keys(),
        **pairs,
        **(kem() if hybrid else {}),
        refusal_psk=noise.REFUSAL_PSK,
        handshakes=cases,
        refused_in_place_of="the messages of the handshake named 'an enrolled device'",
        refused=refused,
    )


def exporter() -> str:
    secret, h = fixed("exporter"), fixed("handshake hash")
    chains = []
    for enrolling in (False, True):
        chain, uses = noise.Exporter(secret, h), list[dict[str, Any]]()
        if enrolling:
            uses.append({"use": "psk", "output": chain.device_psk(), "next": chain.exporter})
        for stream, generation in (("a", 0), ("a", 1), ("\u6c34\u6e29", 2**64 - 1)):
            made = chain.initial_secret(stream, generation)
            named = {"use": "initial", "stream": stream, "generation": generation}
            uses.append({**named, "output": made, "next": chain.exporter})
        chains.append({"exporter": secret, "h": h, "uses": uses})
    return document("section 6.3", chains=chains)


def offline() -> str:
    s = make_stream("offline")
    payload = {"handle": s.handle, "metadata": s.metadata, "parameters": s.parameters}
    payload |= {"salt": s.salt, "secret": s.initial_secret}
    ends = {
        "device_static": fixed("initiator_static"),
        "device_ephemeral": fixed("offline ephemeral"),
    }
    ends |= {"gateway_static": fixed("responder_static")}
    blob = noise.offline(fixed("device psk"), payload=encode(payload), **ends)
    return document(
        "section 6.4",
        protocol=noise.OFFLINE,
        prologue=b"tickseal/1 offline",
        psk=fixed("device psk"),
        **ends,
        device_static_public=noise.public(ends["device_static"]),
        gateway_static_public=noise.public(ends["gateway_static"]),
        map=noted(payload),
        payload=encode(payload),
        blob=blob,
        root=s.root,
        refused=[
            {"why": "tag changed", "blob": blob[:-1] + bytes([blob[-1] ^ 1])},
            {"why": "ephemeral all zero", "blob": bytes(32) + blob[32:]},
            {"why": "cut", "blob": blob[:-1]},
        ],
    )


def invite() -> str:
    body = {"a": ["192.0.2.7:4460"], "g": noise.public(fixed("responder_static")), "h": True,
            "i": fixed("invite id", 8), "s": fixed("invite secret")}  # fmt: skip
    accepted = [
        body,
        {**body, "a": ["gateway.local:4460", "[2001:db8::7]:4460", "192.0.2.17:1"], "h": False},
        {**body, "a": [f"192.0.2.{n}:65535" for n in range(8)]},
    ]
    good, padded = noise.invite_token(body), noise.invite_token(accepted[1])
    wrong = base64.urlsafe_b64encode(encode(body) + bytes(4)).decode().rstrip("=")
    assert len(padded[5:]) % 4, "the padding must show"
    last = padded[-1]
    loose = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    refused = {
        "another prefix": "tks2_" + good[5:], "no prefix": good[5:], "empty": "",
        "only the prefix": "tks1_",
        "wrong checksum": "tks1_" + wrong,
        "a letter changed": good[:20] + ("B" if good[20] == "A" else "A") + good[21:],
        "cut": good[:-4], "padding": padded + "=" * (-len(padded[5:]) % 4),
        "a space within": good[:30] + " " + good[30:],
        "spare bits set": padded[:-1] + loose[loose.index(last) + 1],
        "no address": noise.invite_token({**body, "a": []}),
        "nine addresses": noise.invite_token({**body, "a": ["192.0.2.7:1"] * 9}),
        "address not text": noise.invite_token({**body, "a": [b"192.0.2.7:1"]}),
        "address without a port": noise.invite_token({**body, "a": ["192.0.2.7"]}),
        "gateway key of 31 bytes": noise.invite_token({**body, "g": bytes(31)}),
        "h a number": noise.invite_token({**body, "h": 1}),
        "id of 9 bytes": noise.invite_token({**body, "i": bytes(9)}),
        "secret of 16 bytes": noise.invite_token({**body, "s": bytes(16)}),
        "one key more": noise.invite_token({**body, "z": 0}),
        "one key less": noise.invite_token({key: value for key,
        value in body.items() if key != "h"}),
        "not a map": noise.invite_token([body]),
    }  # fmt: skip
    return document(
        "section 6.5",
        accepted=[
            {"map": noted(one), "body": encode(one), "token": noise.invite_token(one)}
            for one in accepted
        ],
        refused=[{"why": why, "token": token} for why, token in refused.items()],
    )


FILES = {
    "records.json": records,
    "handshake_classical.json": lambda: handshake(hybrid=False),
    "handshake_hybrid.json": lambda: handshake(hybrid=True),
    "exporter.json": exporter,
    "offline.json": offline,
    "invite.json": invite,
    "control.json": control,
}

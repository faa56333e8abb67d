"""Run by MicroPython: checks the cases on standard input against the device's primitives.

A line is one JSON list: operation, suite or 0, fields in hexadecimal, and last the expected result,
null where the operation must refuse. Prints the lines that disagree.
"""

import json
import sys
from binascii import unhexlify

from device import primitives


def hmac(_, key, message):
    return primitives.hmac(key)(message)


def sha256(_, data):
    return primitives.sha256(data)


def x25519(_, private, public):
    return primitives.x25519(private, public)


OPERATIONS = {
    "hmac": hmac,
    "open": primitives.open,
    "seal": primitives.seal,
    "sha256": sha256,
    "x25519": x25519,
}

checked = 0
for line in sys.stdin:
    operation, suite, *fields = json.loads(line)
    expected = fields.pop()
    try:
        result = OPERATIONS[operation](suite, *[unhexlify(field) for field in fields])
    except ValueError:
        result = None
    if result != (None if expected is None else unhexlify(expected)):
        print("differs: " + line)
    checked += 1
print("%d checked" % checked)

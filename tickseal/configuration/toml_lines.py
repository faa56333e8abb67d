"""The line on which each key of a TOML text stands, which the standard library's parser forgets."""

import re

Path = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""(?!")))*"""'
    r"|'''(?:[^']|'(?!''(?!')))*'''"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}#\r\n]+")


def find_lines(text: str) -> dict[Path, int]:
    """Map the path of every table, key and element to its line, counted from 1.

    Args:
        text: a TOML document that `tomllib` has accepted; of any other the result means nothing.

    Returns:
        Paths of names and list positions, each with the line of its header or of its first naming:
        ("streams", 0, "id") is `id` in the first [[streams]].
    """
    return _Scanner(text).scan()


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._lines: dict[Path, int] = {(): 1}
        self._lengths: dict[Path, int] = {}  # of arrays of tables so far

    def scan(self) -> dict[Path, int]:
        table: Path = ()
        self._skip(_BLANK)
        while self._at < len(self._text):
            if self._text.startswith("[[", self._at):
                table = self._array_header()
            elif self._text.startswith("[", self._at):
                self._at += 1
                table = self._name(self._key(), ())
                self._lines[table] = self._line
                self._at += 1
            else:
                self._pair(table)
            self._skip(_BLANK)
        return self._lines

    def _skip(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:
            return ""
        self._at = found.end()
        self._line += found[0].count("\n")
        return found[0]

    def _array_header(self) -> Path:
        self._at += 2
        *parents, last = self._key()
        array = (*self._name(parents, ()), last)
        position = self._lengths.get(array, 0)
        self._lengths[array] = position + 1
        self._lines.setdefault(array, self._line)
        self._lines[(*array, position)] = self._line
        self._at += 2
        return (*array, position)

    def _name(self, parts: list[str], inside: Path) -> Path:
        """Note the line of each part; a part that is an array of tables means its last table."""
        path = inside
        for part in parts:
            path = (*path, part)
            self._lines.setdefault(path, self._line)
            if path in self._lengths:
                path = (*path, self._lengths[path] - 1)
        return path

    def _key(self) -> list[str]:
        parts: list[str] = []
        while True:
            self._skip(_SPACE)
            parts.append(self._skip(_BARE_KEY) or _unquote(self._skip(_STRING)))
            self._skip(_SPACE)
            if not self._text.startswith(".", self._at):
                return parts
            self._at += 1

    def _pair(self, table: Path) -> None:
        path = self._name(self._key(), table)
        self._at += 1  # the equals sign
        self._skip(_SPACE)
        self._value(path)

    def _value(self, path: Path) -> None:
        match self._text[self._at : self._at + 1]:
            case "[":
                self._list(path)
            case "{":
                self._inline_table(path)
            case '"' | "'":
                self._skip(_STRING)
            case _:
                self._skip(_SCALAR)

    def _list(self, path: Path) -> None:
        self._at += 1
        position = 0
        while True:
            self._skip(_BLANK)
            if self._ends("]"):
                return
            element = (*path, position)
            self._lines[element] = self._line
            self._value(element)
            position += 1
            self._separate("]")

    def _inline_table(self, path: Path) -> None:
        self._at += 1
        while True:
            self._skip(_BLANK)
            if self._ends("}"):
                return
            self._pair(path)
            self._separate("}")

    def _ends(self, mark: str) -> bool:
        found = self._text.startswith(mark, self._at)
        self._at += found
        return found

    def _separate(self, closing: str) -> None:
        self._skip(_BLANK)
        if not self._ends(",") and not self._text.startswith(closing, self._at):
            raise ValueError("not a TOML document")


def _unquote(quoted: str) -> str:
    if quoted[:1] != '"':
        return quoted[1:-1]
    return _ESCAPE.sub(_unescape, quoted[1:-1])


_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|x([0-9A-Fa-f]{2})|(.))")
_CONTROLS = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "e": "\x1b"}


def _unescape(found: re.Match[str]) -> str:
    digits = found[1] or found[2] or found[3]
    return chr(int(digits, 16)) if digits else _CONTROLS.get(found[4], found[4])

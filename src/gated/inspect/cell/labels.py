"""Names of equations and parameters as a chart writes them: "gamma_x" as γ with a subscript x."""

from __future__ import annotations

import html
import unicodedata
from dataclasses import dataclass

__all__ = ["Label", "name_label", "plain_label", "symbol_label"]

_ACCENTS = {"hat": "\u0302", "tilde": "\u0303", "bar": "\u0304"}
_SMALL = 0.72  # of the size of the letters above
_WIDE = {"m": 0.92, "w": 0.85, "W": 1.0, "M": 1.0, "i": 0.36, "l": 0.36, "f": 0.42, "t": 0.45,
         "j": 0.36, "r": 0.46, " ": 0.34, "·": 0.36, ",": 0.34, "(": 0.42, ")": 0.42}  # fmt: skip


@dataclass(frozen=True)
class Label:
    """Words, some with a subscript: (("h", "t−1"),)."""

    parts: tuple[tuple[str, str], ...]
    italic: bool = True

    def width(self, size: float) -> float:
        """About how wide it is, in pixels."""
        letters = sum(_width(word) + _SMALL * _width(low) for word, low in self.parts)
        return size * (letters + 0.3 * (len(self.parts) - 1))

    def svg(self, size: float) -> str:
        """It as the content of an SVG text element."""
        drop = f"{0.28 * size:.1f}"
        written = []
        for k, (word, low) in enumerate(self.parts):
            # what follows a subscript comes back up
            start = f' dx="{0.3 * size:.1f}"' if k else ""
            start += f' dy="-{drop}"' if k and self.parts[k - 1][1] else ""
            written.append(f"<tspan{start}>{html.escape(word)}</tspan>")
            if low:
                small = f'class="low" dy="{drop}" font-size="{_SMALL * size:.1f}"'
                written.append(f"<tspan {small}>{html.escape(low)}</tspan>")
        return "".join(written)

    def __add__(self, other: Label) -> Label:
        return Label((*self.parts, *other.parts), self.italic)


def name_label(name: str, time: str = "") -> Label:
    """The label of an equation, input or state, with the time in its subscript if given.

    Example:
        >>> name_label("gamma_x"), name_label("c_tilde", "t−1").parts[0][1]
        (Label(parts=(('γ', 'x'),), italic=True), 't−1')
    """
    base, _, rest = name.partition("_")
    base = _letter(base)
    if rest in _ACCENTS:
        base, rest = base + _ACCENTS[rest], ""
    return Label(((base, ", ".join(part for part in (_letter(rest), time) if part)),))


def symbol_label(key: str) -> Label:
    """The label of a parameter: W.i, b_h.n."""
    letter, _, subscript = key.partition(".")
    (base, low) = name_label(letter).parts[0]
    return Label(((base, ", ".join(part for part in (low, subscript) if part)),))


def plain_label(text: str) -> Label:
    """A function or a sign: "tanh", "×"."""
    return Label(((text, ""),), italic=False)


def _letter(word: str) -> str:
    """A Greek letter for its name; any other word as it is."""
    name = "lamda" if word.lower() == "lambda" else word
    kind = "SMALL" if word.islower() else "CAPITAL"
    try:
        return unicodedata.lookup(f"GREEK {kind} LETTER {name.upper()}")
    except KeyError:
        return word


def _width(word: str) -> float:
    return sum(0.0 if "\u0300" <= c <= "\u036f" else _WIDE.get(c, 0.56) for c in word)

"""Names as MathML: gates and states with their step, parameters with their subscripts."""

from __future__ import annotations

import html
import re

from gated.equations.render import ACCENTS, GREEK
from gated.equations.symbols import Family, Symbol

__all__ = ["number", "parameter", "value"]

_BEFORE = "<mi>t</mi><mo>−</mo><mn>1</mn>"
_OVER = {"hat": "^", "tilde": "~", "bar": "¯"}
# what families are commonly called by, as \alpha^{x} or W_d; others go by their letter
_LATEX = re.compile(
    r"(?P<accent>\\(?:hat|tilde|bar))?\{?\\?(?P<base>[A-Za-z]+)\}?(?P<prime>'?)"
    r"(?:\^\{?\\?(?P<high>[A-Za-z0-9]+)\}?)?(?:_\{?\\?(?P<low>[A-Za-z0-9]+)\}?)?"
)


def value(name: str, *, before: bool = False) -> str:
    """A gate, a state or an input at step t, or at the step before."""
    base, _, rest = name.partition("_")
    step = _BEFORE if before else "<mi>t</mi>"
    if rest in ACCENTS:
        return _low(_accent(_letters(base), rest), step)
    return _low(_letters(base), f"{_letters(rest)}<mo>,</mo>{step}" if rest else step)


def parameter(symbol: Symbol) -> str:
    """A parameter: W with i below."""
    base, high, low = _family(symbol.family)
    low = _letters(symbol.subscript) if symbol.subscript else low
    if high and low:
        return f"<msubsup>{base}<mrow>{low}</mrow><mrow>{high}</mrow></msubsup>"
    return f"<msup>{base}<mrow>{high}</mrow></msup>" if high else _low(base, low)


def number(value: float) -> str:
    """A constant of an equation, to four digits."""
    digits, exponent = (*f"{value:.4g}".split("e"), "")[:2]
    sign = "<mo>−</mo>" if digits.startswith("-") else ""
    shown = f"<mn>{digits.lstrip('-').replace('inf', '∞')}</mn>"
    if exponent:
        power = f"<msup><mn>10</mn><mrow>{number(int(exponent))}</mrow></msup>"
        shown = power if shown == "<mn>1</mn>" else f"{shown}<mo>×</mo>{power}"
    return sign + shown


def _family(family: Family) -> tuple[str, str, str]:
    """What a family is called by, what stands above it and what below."""
    found = _LATEX.fullmatch(family.latex)
    if not found:
        return _letters(family.letter), "", ""
    base = _letters(found["base"])
    if found["accent"]:
        base = _accent(base, found["accent"][1:])
    high = (_letters(found["high"]) if found["high"] else "") + "<mo>′</mo>" * bool(found["prime"])
    return base, high, _letters(found["low"]) if found["low"] else ""


def _low(base: str, below: str) -> str:
    return f"<msub>{base}<mrow>{below}</mrow></msub>" if below else base


def _accent(base: str, which: str) -> str:
    return f'<mover accent="true">{base}<mo>{_OVER[which]}</mo></mover>'


def _letters(word: str) -> str:
    return f"<mi>{html.unescape(f'&{word};') if word in GREEK else word}</mi>"

"""Equations as MathML, which browsers draw offline and without a font download."""

from __future__ import annotations

import html
import re
import xml.etree.ElementTree as ET

from latex2mathml.converter import convert_to_element

__all__ = ["mathml"]

_SAFE_ATTRIBUTES = re.compile(
    "display|stretchy|mathvariant|accent|accentunder|fence|separator|[lr]space|minsize|maxsize|"
    "width|height|depth|linethickness|displaystyle|scriptlevel|columnalign|rowspacing|"
    "columnspacing|largeop|movablelimits|form"
)


def mathml(latex: str) -> str:
    """One LaTeX equation as a MathML element, safe to put into a page.

    latex2mathml's own string form un-escapes its text, so ``\\text{<script>}`` would come out as
    markup, and ``\\href`` as a link: this writes the tree itself and drops unknown attributes.
    LaTeX that cannot be read comes out as its source, in a MathML text element.

    >>> mathml("c_t")
    '<math display="block"><mrow><msub><mi>c</mi><mi>t</mi></msub></mrow></math>'
    """
    try:
        tree = convert_to_element(latex, display="block")
    except Exception:  # the converter has no common base of its errors
        tree = ET.Element("math", display="block")
        ET.SubElement(tree, "mtext").text = latex
    for node in tree.iter():
        node.text = html.unescape(node.text) if node.text else None
        node.tail = html.unescape(node.tail) if node.tail else None
        for name in [n for n in node.attrib if not _SAFE_ATTRIBUTES.fullmatch(n)]:
            del node.attrib[name]
    return ET.tostring(tree, encoding="unicode", short_empty_elements=False)

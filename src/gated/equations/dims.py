"""`Dim`: the length of an axis, in letters, found by use."""

from __future__ import annotations


class Dim:
    """The length of an axis: a letter ("D", "H"), a number, or not known yet."""

    __slots__ = ("_link", "_value")

    def __init__(self, value: str | int | None = None):
        self._value = value
        self._link: Dim | None = None

    def root(self) -> Dim:
        """The dimension that this one was found equal to."""
        dim = self
        while dim._link is not None:
            dim = dim._link
        return dim

    @property
    def value(self) -> str | int | None:
        """The letter or number, None while it is open."""
        return self.root()._value

    def settle(self, value: str | int) -> None:
        """Give an open dimension its value."""
        root = self.root()
        if root._value is None:
            root._value = value

    def __repr__(self) -> str:
        return "?" if self.value is None else str(self.value)


def unify(a: Dim, b: Dim) -> bool:
    """Make two dimensions one; False if they are known to differ."""
    a, b = a.root(), b.root()
    if a is b:
        return True
    if a._value is None:
        a._link = b
    elif b._value is None:
        b._link = a
    else:
        return a._value == b._value
    return True


Shape = tuple[Dim, ...]

"""`Dim`: the length of an axis, in letters, found by use."""

from __future__ import annotations

# a letter, a number, or a part of a letter: "H/4" are the units that one of four heads sees
Size = str | int


class Dim:
    """The length of an axis: a letter ("D", "H"), a number, or not known yet."""

    __slots__ = ("_link", "_value")

    def __init__(self, value: Size | None = None):
        self._value = value
        self._link: Dim | None = None

    def root(self) -> Dim:
        """The dimension that this one was found equal to."""
        dim = self
        while dim._link is not None:
            dim = dim._link
        return dim

    @property
    def value(self) -> Size | None:
        """The letter or number, None while it is open."""
        return self.root()._value

    def settle(self, value: Size) -> None:
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


def shape(*sizes: Size) -> Shape:
    """A shape of known sizes."""
    return tuple(map(Dim, sizes))


def sizes(shape: Shape) -> tuple[Size, ...]:
    """The sizes of a shape; what use has left open has H units."""
    return tuple("H" if dim.value is None else dim.value for dim in shape)

"""`Cell`: a recurrent cell as its equations. Defining the class traces and checks them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

from gated.equations import facts, render
from gated.equations.graph import Graph, Parameter, Size, State, length
from gated.equations.noise import Noise
from gated.equations.step import trace
from gated.equations.symbols import Node
from gated.equations.variant import Change, with_differences
from gated.errors import CellError


class Cell:
    """A recurrent cell, written as its equations in the paper's symbols.

    Subclass it and write `step(self, x, h, c)`: the inputs first, then the previous states; assign
    gates and new states by the names the paper gives them; return the new states in their order.
    The first state is the cell's output. The class is the cell: a constant that a variant changes
    is a class attribute, and the variant a subclass. Defining the class runs `step` once on
    symbols and rejects what is malformed with a `CellError` that names cell, file and line.

    Optional class attributes:
        name: how the catalogue knows it; the class name in lower case if not given.
        inputs: the inputs and their sizes, {"x": "D"} if not given. D is the input size, H the
            hidden size, another letter a size given when a layer is built, a number itself.
        sizes: states that have another size than H, as {"h": "P"}.
        initial: values of states before the first step, if other than 0, as {"m": float("-inf")}.
        where: for a subclass, what differs from the equations it inherits: {"f": 1}, or
            {"f": lambda i: 1 - i}. A function takes names as they are known at that line, and
            `last_c` for what state c was before the step; for a family of parameters, as {"p": 0},
            a number.
        source: the paper, with equation numbers.
        renames: the paper's symbol for each of ours that differs, as {"g": "z"}.

    Example:
        >>> from gated.equations import Cell, U, W, b, tanh
        >>> class Elman(Cell):
        ...     def step(self, x, h):
        ...         h = tanh(W @ x + U @ h + b)
        ...         return h
        >>> print(Elman())
        h = tanh(W x + U h₋ + b)
        >>> Elman().parameter_count(input_size=3, hidden_size=5)
        45
    """

    name: ClassVar[str] = ""
    inputs: ClassVar[Mapping[str, Size]] = {"x": "D"}
    sizes: ClassVar[Mapping[str, Size]] = {}
    initial: ClassVar[Mapping[str, float]] = {}
    source: ClassVar[str] = ""
    renames: ClassVar[Mapping[str, str]] = {}
    where: ClassVar[Mapping[str, Change]] = {}
    graph: ClassVar[Graph]
    # the equations that say how parameters are stored: a regulariser changes none of them
    stored: ClassVar[Graph]
    # what regularisers draw in training, and the equations into which they put it
    noise: ClassVar[tuple[Noise, ...]] = ()
    noisy: ClassVar[Cell | None] = None
    # what matrices mean where they are not dense, by parameter (equations.maps)
    maps: ClassVar[Mapping[str, object]] = {}
    # how a cell that was derived from another is made anew, as pickle needs it
    recipe: ClassVar[tuple[Callable[..., Cell], tuple[Any, ...]] | None] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" not in cls.__dict__:
            words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", cls.__name__.lstrip("_"))
            cls.name = words.lower()
        if cls.step is not Cell.step:
            _check_nothing_derived(cls)
            cls.graph = cls.stored = with_differences(cls, trace(cls))
        elif cls.where:
            raise CellError(
                f"cell {cls.name}: where changes equations that are inherited, and there are none: "
                f"subclass the cell that it is a variant of"
            )

    def step(self, *symbols: Any) -> Any:
        """One step: inputs and previous states in, new states out."""
        raise NotImplementedError

    def __reduce__(self) -> tuple[Callable[..., Cell], tuple[Any, ...]]:
        return self.recipe or (type(self), ())

    @property
    def states(self) -> tuple[State, ...]:
        """The states in order; the first is the output."""
        return self.graph.states

    @property
    def gates(self) -> tuple[str, ...]:
        """The names that the step assigns besides the states."""
        return self.graph.gates

    @property
    def training(self) -> Cell:
        """The cell that runs in training: with the noise of its regularisers, if it has any."""
        return self.noisy or self

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters with their shapes in letters, in the order of the equations."""
        return self.graph.parameters

    @property
    def diagonal(self) -> bool:
        """Whether each unit sees only itself through time."""
        return facts.diagonal(self.graph)

    @property
    def linear(self) -> bool:
        """Whether the new states are linear (affine) in the previous ones."""
        return facts.linear(self.graph)

    @property
    def kept(self) -> dict[str, Node]:
        """For each state that has one, the factor by which its units keep their last value."""
        return facts.kept(self.graph)

    @property
    def successive_products(self) -> int:
        """How many matrix products must follow one another within a step."""
        return facts.successive_products(self.graph)

    def parameter_count(self, input_size: int, hidden_size: int, **sizes: int) -> int:
        """The number of weights for given sizes, one bias per equation."""
        known = {"D": input_size, "H": hidden_size, **sizes}
        return sum(shape_size(p.shape, known) for p in self.parameters)

    def latex(self) -> str:
        """The equations as a LaTeX `aligned` block."""
        return render.latex(self.graph)

    def text(self) -> str:
        """The equations for a terminal, one a line."""
        return render.text(self.graph)

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        words = [f"states {', '.join(s.name for s in self.states)}", *self._short_maps()]
        words += [f"{one.name} {one.rate:g}" for one in self.noise]
        return f"<cell {self.name}: {'; '.join(words)}>"

    def _short_maps(self) -> list[str]:
        """The maps, one for a family whose parameters all have the same."""
        words = []
        for letter, family in self.graph.families.items():
            own = {p.key: self.maps[p.key] for p in family if p.key in self.maps}
            if len(own) == len(family) and len(set(own.values())) == 1:
                own = {letter: next(iter(own.values()))}
            words += [f"{key} {which}" for key, which in own.items()]
        return words


# what a class may say of itself; all else that a `Cell` has follows from its equations
_SAID = {"name", "inputs", "sizes", "initial", "source", "renames", "where", "step"}


def _check_nothing_derived(cls: type[Cell]) -> None:
    for name in vars(cls):
        if name in {*vars(Cell), *Cell.__annotations__} - _SAID and not name.startswith("__"):
            remedy = (
                "say `gated.Recurrent(..., maps=...)`" if name == "maps" else "use another name"
            )
            raise CellError(
                f"cell {cls.name}: {name} is not for a class to set, every cell has its own: "
                f"{remedy}"
            )


def derived(
    cell: Cell,
    transform: Callable[[Graph], Graph],
    recipe: tuple[Callable[..., Cell], tuple[Any, ...]],
    *,
    training: Callable[[Graph], Graph] | None = None,
    noise: tuple[Noise, ...] = (),
    maps: Mapping[str, object] | None = None,
) -> Cell:
    """A cell whose equations are another's, transformed.

    Args:
        cell: the cell to start from.
        transform: gives the new graph.
        recipe: the function and the arguments that derive it anew.
        training: gives the new graph in training, `transform` if not given; a regulariser's, which
            leaves the parameters as they are.
        noise: what is drawn in training beside what `cell` draws already.
        maps: what matrices mean now that were dense.
    """
    own = {name: getattr(cell, name) for name in ("name", "source", "renames")}
    own |= {"maps": {**cell.maps, **(maps or {})}}
    own |= {"__doc__": type(cell).__doc__, "__module__": type(cell).__module__}
    own |= {"stored": cell.stored if training else transform(cell.stored)}
    noisy = None
    if cell.noise or noise:
        graph = (training or transform)(cell.training.graph)
        again = (partial(_trained, recipe[0]), recipe[1])
        noisy = type(type(cell).__name__, (Cell,), {**own, "graph": graph, "recipe": again})()
    own |= {"graph": transform(cell.graph), "recipe": recipe}
    own |= {"noisy": noisy, "noise": (*cell.noise, *noise)}
    new: Cell = type(type(cell).__name__, (Cell,), own)()
    return new


def _trained(derive: Callable[..., Cell], *args: Any) -> Cell:
    return derive(*args).training


def shape_size(shape: tuple[Size, ...], known: Mapping[str, int]) -> int:
    """The number of elements of a shape in letters.

    Raises:
        CellError: a letter has no value in `known`.
    """
    return math.prod(length(size, known) for size in shape)

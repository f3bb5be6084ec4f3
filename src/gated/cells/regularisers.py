"""Regularisers as wrappers of a cell: they put noise into its equations for training.

Each takes a cell and gives a cell, so they combine: `zoneout(dropconnect("lstm", 0.5), h=0.05)`.
Outside training the cell computes what the regulariser's expectation says.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from gated.cells import cell as find
from gated.equations.cell import Cell, derived
from gated.equations.dims import Dim
from gated.equations.facts import held, kept
from gated.equations.graph import Graph, Size, sort
from gated.equations.noise import Noise
from gated.equations.ops import PRODUCTS
from gated.equations.rewrite import assemble, rewrite
from gated.equations.roles import roles
from gated.equations.symbols import Node, apply
from gated.errors import OptionError

Which = str | Cell | type[Cell]


def zoneout(which: Which, rate: float | None = None, **rates: float) -> Cell:
    """Let units keep their last state at random in training, in expectation otherwise.

    A state c becomes ζ c₋ + (1 - ζ) c', where c' is what the equations give, and what else the
    step computes from c sees c'. ζ is 1 with probability `rate` for each unit and step.

    Args:
        which: a cell's name, a `Cell` or its class.
        rate: for every state; or, by name, `rates` for some: `zoneout(cell, h=0.05, c=0.5)`.

    Raises:
        OptionError: a rate is no probability, a state is not there, or has no meaningful mean.

    Source: D. Krueger et al., Zoneout: regularizing RNNs by randomly preserving hidden
    activations, arXiv:1606.01305 (2016), equations 3 and 4.

    Example:
        >>> print(zoneout("rnn", 0.1).training)
        h_new = tanh(W x + U h₋ + b)
        h     = select(zoneout_h, h₋, h_new)
    """
    cell = find(which)
    states = {state.name: state for state in cell.states}
    if rate is not None:
        rates = {**dict.fromkeys(states, rate), **rates}
    if not rates:
        raise OptionError(f"zoneout: give a rate for all states, or for some of {_list(states)}")
    for name, value in rates.items():
        if name not in states:
            raise OptionError(
                f"zoneout: {cell.name} has no state {name}: its states are {_list(states)}"
            )
        _check_rate("zoneout", name, value)
    _check_scale("zoneout", cell, set(rates) - {cell.states[0].name})
    rates = {name: value for name, value in rates.items() if value}
    noise = tuple(
        Noise(f"zoneout_{name}", value, "step", states[name].size, scaled=False)
        for name, value in rates.items()
    )

    def mean(graph: Graph) -> Graph:
        return _mixed(graph, rates, lambda name, old, new: rates[name] * old + _rest(name) * new)

    def _rest(name: str) -> float:
        return 1 - rates[name]

    def drawn(graph: Graph) -> Graph:
        leaves = _inputs(noise)
        return _mixed(
            graph,
            rates,
            lambda name, o, n: apply("select", leaves[f"zoneout_{name}"], o, n),
            leaves,
        )

    options: dict[str, Any] = {**rates}
    recipe = (partial(zoneout, **options), (cell,))
    return derived(cell, mean, recipe, training=drawn, noise=noise) if rates else cell


def recurrent_dropout(
    which: Which, rate: float, *, states: Collection[str] = (), scope: str = "step"
) -> Cell:
    """Drop what a step adds to the memory, never what the memory holds.

    c = f c₋ + i g becomes c = f c₋ + d i g, with d 0 with probability `rate`, else 1 / (1 - rate).
    Which term holds the memory is read from the equations.

    Args:
        which: a cell's name, a `Cell` or its class.
        rate: the probability of being dropped.
        states: the states to treat; the one that keeps a factor of its last value if not given.
        scope: "step" to draw at every step, "sequence" for one draw a call.

    Raises:
        OptionError: the cell keeps no state by a factor, or several and none was named.

    Source: S. Semeniuta, A. Severyn, E. Barth, Recurrent dropout without memory loss,
    COLING 2016, equations 10 and 11.

    Example:
        >>> print(recurrent_dropout("gru-reset-before", 0.2).training.text().splitlines()[-1])
        h = (1 - z) ⊙ n ⊙ dropout_h + z ⊙ h₋
    """
    cell = find(which)
    _check_rate("recurrent_dropout", "rate", rate)
    if scope not in ("step", "sequence"):
        raise OptionError(f"recurrent_dropout: scope is {scope!r}, expected 'step' or 'sequence'")
    keeping = list(kept(cell.graph))
    if not keeping:
        raise OptionError(
            f"recurrent_dropout: no state of {cell.name} keeps a factor of its last value: "
            f"there is no memory to spare; use variational_dropout or zoneout"
        )
    if not states and len(keeping) > 1:
        raise OptionError(
            f"recurrent_dropout: {cell.name} keeps {_list(keeping)}: name those to treat, as in "
            f"states=({keeping[0]!r},)"
        )
    for name in states:
        if name not in keeping:
            raise OptionError(
                f"recurrent_dropout: {cell.name} does not keep {name} by a factor, but "
                f"{_list(keeping)}"
            )
    chosen = tuple(states) or (keeping[0],)
    sizes = {state.name: state.size for state in cell.states}
    noise = tuple(
        Noise(f"dropout_{n}", rate, "step" if scope == "step" else "sequence", sizes[n])
        for n in chosen
    )

    def drawn(graph: Graph) -> Graph:
        leaves = _inputs(noise)
        masks = {
            term: leaves[f"dropout_{name}"] for name in chosen for term in written(graph, name)
        }
        return rewrite(
            graph,
            lambda node, args: None if node not in masks else _times(node, args, masks[node]),
            inputs=leaves,
        )

    return _in_training(cell, rate, drawn, noise, recurrent_dropout, states=states, scope=scope)


def variational_dropout(
    which: Which, rate: float | None = None, *, inputs: float = 0.0, states: float = 0.0
) -> Cell:
    """Drop the same units at every step, before each matrix that reads them.

    Args:
        which: a cell's name, a `Cell` or its class.
        rate: for both of the following, if given.
        inputs: the probability of dropping a unit of the input, in every layer.
        states: the same for what the recurrent matrices read.

    Raises:
        OptionError: a rate is no probability.

    Source: Y. Gal, Z. Ghahramani, A theoretically grounded application of dropout in recurrent
    neural networks, NeurIPS 2016, with the same mask for all gates (the tied form, equation 7).

    Example:
        >>> print(variational_dropout("rnn", 0.25).training)
        h = tanh(W (x ⊙ dropout_x) + U (h₋ ⊙ dropout_h) + b)
    """
    cell = find(which)
    if rate is not None:
        inputs = states = rate
    _check_rate("variational_dropout", "inputs", inputs)
    _check_rate("variational_dropout", "states", states)
    read = _operands(cell.graph)
    first = next(iter(cell.graph.inputs))
    rates = {label: inputs if label == first else states for label in read}
    noise = tuple(
        Noise(f"dropout_{label}", rates[label], "sequence", size)
        for label, size in read.items()
        if rates[label]
    )

    def drawn(graph: Graph) -> Graph:
        leaves = _inputs(noise)

        def visit(node: Node, args: list[Node]) -> Node | None:
            label = _read_by(graph, node)
            if label is None or not rates.get(label):
                return None
            return replace(node, args=(args[0], apply("mul", args[1], leaves[f"dropout_{label}"])))

        return rewrite(graph, visit, inputs=leaves)

    worst = max(inputs, states)
    return _in_training(
        cell, worst, drawn, noise, variational_dropout, None, inputs=inputs, states=states
    )


def dropconnect(which: Which, rate: float) -> Cell:
    """Drop recurrent weights, the same at every step of a call.

    Args:
        which: a cell's name, a `Cell` or its class.
        rate: the probability of a weight being dropped; the others are scaled by 1 / (1 - rate).

    Raises:
        OptionError: the rate is no probability, or the cell has no recurrent matrix.

    Source: S. Merity, N. S. Keskar, R. Socher, Regularizing and optimizing LSTM language models,
    ICLR 2018, section 2.
    """
    cell = find(which)
    _check_rate("dropconnect", "rate", rate)
    keys = tuple(k for k, role in roles(cell).items() if role.recurrent and role.kind != "vector")
    if not keys:
        raise OptionError(
            f"dropconnect: {cell.name} has no recurrent matrix whose weights could be dropped"
        )
    noise = (Noise("dropconnect", rate, "weights", keys=keys),)
    return _in_training(cell, rate, _same, noise, dropconnect)


def written(graph: Graph, state: str) -> list[Node]:
    """The terms of a state's new value that do not hold its last one: i g of f c₋ + i g."""
    old = graph.previous[state]
    fixed = held(graph) - {old}

    def holds(term: Node) -> bool:
        """Whether the last value passes to the term by neither a gate nor a product."""
        waiting = [term]
        while waiting:
            node = waiting.pop()
            if node is old:
                return True
            waiting += node.args if node not in fixed else ()
        return False

    return [term for term in _terms(graph.updates[state]) if not holds(term)]


def _terms(node: Node, root: bool = True) -> list[Node]:
    """The terms of a sum."""
    if node.op in ("add", "sub") and (root or node.name is None):
        return [term for arg in node.args for term in _terms(arg, root=False)]
    return [node]


def _mixed(
    graph: Graph,
    rates: Mapping[str, float],
    mix: Callable[[str, Node, Node], Node],
    inputs: Mapping[str, Node] | None = None,
) -> Graph:
    """The graph with `mix(name, old, new)` for the new value of each state in `rates`."""
    renamed = {graph.updates[name]: _free_name(graph, name) for name in rates}

    def visit(node: Node, args: list[Node]) -> Node | None:
        return replace(node, args=tuple(args), name=renamed[node]) if node in renamed else None

    inner = rewrite(graph, visit)
    equations: dict[str, Node] = {}
    for name, node in inner.equations.items():
        if name not in rates:
            equations[name] = node
            continue
        assert node.name is not None, "it was renamed"
        equations[node.name] = node
        equations[name] = replace(mix(name, graph.previous[name], node), name=name)
    return assemble(graph, equations, inputs=inputs)


def _free_name(graph: Graph, state: str) -> str:
    name = f"{state}_new"
    while name in graph.equations or name in graph.inputs:
        name += "_new"
    return name


def _times(node: Node, args: list[Node], mask: Node) -> Node:
    """The node times a mask; its name stays with what is masked."""
    return apply("mul", replace(node, args=tuple(args)) if args else node, mask)


def _operands(graph: Graph) -> dict[str, Size]:
    """What the matrices read, by the input or state that is dropped, with its size."""
    found: dict[str, Size] = {}
    for node in graph.nodes():
        label = _read_by(graph, node)
        if label is not None:
            found[label] = node.args[1].shape[0].value or "H"
    return found


def _read_by(graph: Graph, node: Node) -> str | None:
    """The state that a product reads, or the sequence; None for other inputs and no product."""
    if node.op not in PRODUCTS:
        return None
    width = node.args[1].shape[0].value
    leaves = [n for n in sort([node.args[1]]) if n.op == "state" and n.shape[0].value == width]
    if leaves:
        return leaves[0].label
    sequence = next(iter(graph.inputs.values()))
    return sequence.label if sequence in sort([node.args[1]]) else None


def _inputs(noise: tuple[Noise, ...]) -> dict[str, Node]:
    return {n.name: Node("input", shape=(Dim(n.size),), label=n.name) for n in noise}


def _in_training(
    cell: Cell,
    rate: float,
    drawn: Callable[[Graph], Graph],
    noise: tuple[Noise, ...],
    function: Callable[..., Cell],
    *args: Any,
    **options: Any,
) -> Cell:
    """The cell with noise in training and its own equations outside it."""
    if not rate:
        return cell
    taken = {n.name for n in cell.noise}
    for one in noise:
        if one.name in taken:
            raise OptionError(
                f"{function.__name__}: {cell.name} has {one.name} already: combine each kind of "
                f"noise once"
            )
    recipe = (partial(function, **options), (cell, *(args or (rate,))))
    return derived(cell, _same, recipe, training=drawn, noise=noise)


def _same(graph: Graph) -> Graph:
    return graph


def _check_rate(function: str, name: str, value: object) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 <= value < 1:  # type: ignore[operator]
        raise OptionError(
            f"{function}: {name} is {value!r}, expected a probability from 0 to below 1"
        )


def _check_scale(function: str, cell: Cell, names: set[str]) -> None:
    """States that stand on a stabiliser's scale cannot stay while the scale moves on."""
    scales = [state.name for state in cell.states if abs(state.initial) == float("inf")]
    if scales and names:
        raise OptionError(
            f"{function}: {cell.name} keeps its states relative to {_list(scales)}, which has no "
            f"mean at its start: {_list(sorted(names))} cannot be kept apart; treat "
            f"{cell.states[0].name} alone"
        )


def _list(names: Collection[str]) -> str:
    return ", ".join(names)

"""Regularisers as wrappers of a cell: they put noise into its equations for training.

Each takes a cell and gives a cell, so they combine: `zoneout(dropconnect("lstm", 0.5), h=0.05)`.
Outside training the cell computes what the regulariser's expectation says.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from gated.cells import cell as find
from gated.equations.cell import Cell, derived
from gated.equations.facts import kept
from gated.equations.graph import Graph
from gated.equations.noise import Noise
from gated.equations.noising import (
    leaves,
    mixed,
    operands,
    with_masked_reads,
    with_masked_terms,
    written,
)
from gated.equations.ops import PRODUCTS
from gated.equations.roles import roles
from gated.equations.symbols import Node, apply
from gated.errors import OptionError

Which = str | Cell | type[Cell]


def zoneout(which: Which, rate: float | None = None, **rates: float) -> Cell:
    """Let units keep their last state at random in training, in expectation otherwise.

    A state c becomes ζ c₋ + (1 - ζ) c', where c' is what the equations give. ζ is 1 with
    probability `rate`, drawn for each unit and step; outside training it is `rate`. What else the
    step computes from c sees c', as the paper's h = o ⊙ tanh(f c₋ + i g).

    Args:
        which: a cell's name, a `Cell` or its class.
        rate: for the output and the memories of hidden units; or, by name, `rates` for any
            states: `zoneout(cell, h=0.05, c=0.5)`.

    Raises:
        OptionError: a rate is no probability, a state is not there, or has no meaningful mean.

    Source: D. Krueger et al., Zoneout: regularizing RNNs by randomly preserving hidden
    activations, arXiv:1606.01305 (2016), ICLR 2017.

    Example:
        >>> print(zoneout("rnn", 0.1).training)
        h_new = tanh(W x + U h₋ + b)
        h     = select(zoneout_h, h₋, h_new)
    """
    cell = find(which)
    states = {state.name: state for state in cell.states}
    if rate is not None:
        rates = {**dict.fromkeys(_hidden(cell), rate), **rates}
    if not rates:
        raise OptionError(f"zoneout: give a rate for all states, or for some of {_list(states)}")
    for name, value in rates.items():
        if name not in states:
            raise OptionError(
                f"zoneout: {cell.name} has no state {name}: its states are {_list(states)}"
            )
        _check_rate("zoneout", name, value)
    rates = {name: rates[name] for name in states if rates.get(name)}
    if not rates:
        return cell
    _check_scale(cell, set(rates) - {cell.states[0].name})
    noise = tuple(
        Noise(f"zoneout_{name}", value, "step", states[name].size, scaled=False)
        for name, value in rates.items()
    )
    _check_free("zoneout", cell, noise)

    def mean(graph: Graph) -> Graph:
        def mix(name: str, old: Node, new: Node) -> Node:
            return rates[name] * old + (1 - rates[name]) * new

        return mixed(graph, rates, mix)

    def drawn(graph: Graph) -> Graph:
        inputs = leaves(noise)

        def mix(name: str, old: Node, new: Node) -> Node:
            return apply("select", inputs[f"zoneout_{name}"], old, new)

        return mixed(graph, rates, mix, inputs)

    options: dict[str, Any] = {**rates}
    recipe = (partial(zoneout, **options), (cell,))
    return derived(cell, mean, recipe, training=drawn, noise=noise)


def recurrent_dropout(
    which: Which, rate: float, *, states: str | Collection[str] = (), scope: str = "step"
) -> Cell:
    """Drop what a step adds to the memory, never what the memory holds.

    c = f c₋ + i g becomes c = f c₋ + d i g, with d 0 with probability `rate`, else 1 / (1 - rate);
    the paper's f c₋ + i d(g). Which term holds the memory is read from the equations.

    Args:
        which: a cell's name, a `Cell` or its class.
        rate: the probability of being dropped.
        states: the states to treat; the one that keeps a factor of its last value if not given.
        scope: "step" to draw at every step, "sequence" for one draw a call; the paper has both.

    Raises:
        OptionError: the cell keeps no state by a factor, or several and none was named.

    Source: S. Semeniuta, A. Severyn, E. Barth, Recurrent dropout without memory loss,
    COLING 2016, pp. 1757-1766.

    Example:
        >>> print(recurrent_dropout("gru-reset-before", 0.2).training.text().splitlines()[-1])
        h = (1 - z) ⊙ n ⊙ recurrent_dropout_h + z ⊙ h₋
    """
    cell = find(which)
    _check_rate("recurrent_dropout", "rate", rate)
    if scope not in ("step", "sequence"):
        raise OptionError(f"recurrent_dropout: scope is {scope!r}, expected 'step' or 'sequence'")
    if not isinstance(states, (str, list, tuple, set)):
        raise OptionError(f"recurrent_dropout: states is {states!r}, expected names of states")
    states = (states,) if isinstance(states, str) else tuple(states)
    chosen = _memories(cell, states)
    sizes = {state.name: state.size for state in cell.states}
    noise = tuple(
        Noise(f"recurrent_dropout_{n}", rate, "step" if scope == "step" else "sequence", sizes[n])
        for n in chosen
    )

    def drawn(graph: Graph) -> Graph:
        return with_masked_terms(graph, dict(zip(chosen, leaves(noise).values(), strict=True)))

    return _in_training(cell, rate, drawn, noise, recurrent_dropout, states=states, scope=scope)


def variational_dropout(
    which: Which, rate: float | None = None, *, inputs: float = 0.0, states: float = 0.0
) -> Cell:
    """Drop the same units at every step, before each matrix that reads them.

    All gates see the same mask, the paper's tied form; biases and what is read unit by unit see
    the whole vector. It treats the sequence and the states of the last step: not further inputs,
    as a mask, nor what a projection reads.

    Args:
        which: a cell's name, a `Cell` or its class.
        rate: for both of the following, if given: for those of the two that matrices read.
        inputs: the probability of dropping a unit of the input, in every layer.
        states: the same for what the recurrent matrices read.

    Raises:
        OptionError: a rate is no probability, or no matrix reads what it is for.

    Source: Y. Gal, Z. Ghahramani, A theoretically grounded application of dropout in recurrent
    neural networks, NeurIPS 2016, arXiv:1512.05287.

    Example:
        >>> print(variational_dropout("rnn", 0.25).training)
        h = tanh(W (x ⊙ dropout_x) + U (h₋ ⊙ dropout_h) + b)
    """
    cell = find(which)
    if rate is not None:
        if inputs or states:
            raise OptionError("variational_dropout: rate is for both, inputs and states for one")
        _check_rate("variational_dropout", "rate", rate)
        inputs = states = rate
    _check_rate("variational_dropout", "inputs", inputs)
    _check_rate("variational_dropout", "states", states)
    read = operands(cell)
    first = next(iter(cell.stored.inputs))
    rates = {label: inputs if label == first else states for label in read}
    for name, value, found in (
        ("inputs", inputs, first in read),
        ("states", states, bool({*read} - {first})),
    ):
        if value and not found and (rate is None or not read):
            raise OptionError(f"variational_dropout: no matrix of {cell.name} reads its {name}")
    noise = tuple(
        Noise(f"dropout_{label}", rates[label], "sequence", size)
        for label, size in read.items()
        if rates[label]
    )

    def drawn(graph: Graph) -> Graph:
        masks = {name.removeprefix("dropout_"): leaf for name, leaf in leaves(noise).items()}
        return with_masked_reads(graph, cell, masks)

    worst = max(rates.values(), default=0.0)
    return _in_training(
        cell, worst, drawn, noise, variational_dropout, None,
        inputs=inputs if first in read else 0.0, states=states if {*read} - {first} else 0.0,
    )  # fmt: skip


def dropconnect(which: Which, rate: float) -> Cell:
    """Drop recurrent weights, the same at every step of a call: the paper's weight-dropped LSTM.

    These are the matrices that read a state, but for one that gives a state as it is: a projection
    of the output, whose weights the layers above would miss as well.

    Args:
        which: a cell's name, a `Cell` or its class.
        rate: the probability of a weight being dropped; the others are scaled by 1 / (1 - rate).

    Raises:
        OptionError: the rate is no probability, or the cell has no recurrent matrix.

    Source: S. Merity, N. S. Keskar, R. Socher, Regularizing and optimizing LSTM language models,
    ICLR 2018, section 2.

    Example:
        >>> dropconnect("rnn", 0.5).noise[0].keys
        ('U',)
    """
    cell = find(which)
    _check_rate("dropconnect", "rate", rate)
    last = {node.args[0].label for node in cell.stored.updates.values() if node.op in PRODUCTS}
    recurrent = {k for k, role in roles(cell).items() if role.recurrent and role.kind != "vector"}
    keys = tuple(p.key for p in cell.parameters if p.key in recurrent - last)
    if not keys:
        raise OptionError(
            f"dropconnect: {cell.name} has no recurrent matrix whose weights could be dropped"
        )
    noise = (Noise("dropconnect", rate, "weights", keys=keys),)
    return _in_training(cell, rate, lambda graph: graph, noise, dropconnect)


def _hidden(cell: Cell) -> list[str]:
    """The output, and what the cell keeps in hidden units: no gates, no last inputs."""
    inputs = set(cell.graph.input_sizes.values())
    keeping = kept(cell.graph)
    return [
        state.name
        for k, state in enumerate(cell.states)
        if k == 0 or (state.name in keeping and state.size not in inputs)
    ]


def _memories(cell: Cell, states: tuple[str, ...]) -> tuple[str, ...]:
    """The states that recurrent dropout is for."""
    keeping = [name for name in kept(cell.stored) if written(cell.stored, name)]
    if not keeping:
        raise OptionError(
            f"recurrent_dropout: no state of {cell.name} keeps a factor of its last value and adds "
            f"to it: there is no memory to spare; use variational_dropout or zoneout"
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
    return tuple(dict.fromkeys(states)) or (keeping[0],)


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
    _check_free(function.__name__, cell, noise)
    recipe = (partial(function, **options), (cell, *(args or (rate,))))
    return derived(cell, lambda graph: graph, recipe, training=drawn, noise=noise)


def _check_rate(function: str, name: str, value: object) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 <= value < 1:  # type: ignore[operator]
        raise OptionError(
            f"{function}: {name} is {value!r}, expected a probability from 0 to below 1"
        )


def _check_free(function: str, cell: Cell, noise: tuple[Noise, ...]) -> None:
    """Each kind of noise once, under a name that the cell does not use."""
    drawn = [one.name for one in cell.noise]
    graph = cell.graph
    for one in noise:
        if one.name in drawn:
            raise OptionError(
                f"{function}: {cell.name} has {one.name} already: combine each kind of noise once"
            )
        if one.name in {*graph.inputs, *graph.previous, *graph.equations}:
            raise OptionError(
                f"{function}: {cell.name} has a symbol {one.name} of its own; rename it"
            )


def _check_scale(cell: Cell, names: set[str]) -> None:
    """States that stand on a stabiliser's scale cannot stay while the scale moves on."""
    scales = [state.name for state in cell.states if abs(state.initial) == float("inf")]
    if scales and names:
        raise OptionError(
            f"zoneout: {cell.name} keeps its states relative to {_list(scales)}, which has no "
            f"mean at its start: {_list(sorted(names))} cannot be kept apart; treat "
            f"{cell.states[0].name} alone"
        )


def _list(names: Collection[str]) -> str:
    return ", ".join(names)

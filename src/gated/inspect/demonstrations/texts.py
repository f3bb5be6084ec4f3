"""What each demonstration asks and answers, in words."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TEXTS", "Text"]


@dataclass(frozen=True)
class Text:
    """The words of a demonstration: question, claim under test, its source, answer in a line."""

    question: str
    claim: str
    source: str
    answer: str


_PASCANU = (
    "R. Pascanu, T. Mikolov, Y. Bengio, On the difficulty of training recurrent neural networks, "
    "ICML 2013"
)

TEXTS = {
    "vanishing": Text(
        "Why does an RNN forget, and what does an LSTM do about it?",
        "The RNN's gradient vanishes because its weights are below 1; the LSTM's does not.",
        f"{_PASCANU}, section 2; S. Hochreiter, J. Schmidhuber, Long short-term memory, Neural "
        "Computation 9 (1997), section 3",
        "True, with care: singular values of U below 1 are the guarantee, eigenvalues are not; "
        "and the LSTM's gradient lasts as long as f is near 1.",
    ),
    "explosion": Text(
        "Does an LSTM avoid exploding gradients?",
        "In an LSTM, exploding gradients are avoided.",
        f"often said of the cell state's own path; {_PASCANU}, for the RNN",
        "No: only the path along c is bounded by 1. Through h and the weights an LSTM's gradient "
        "can explode as an RNN's can.",
    ),
    "clipping": Text(
        "Does clipping the gradient help?",
        "Clip the gradient's norm and training becomes stable.",
        f"{_PASCANU}, section 3.2, algorithm 1",
        "It helps: one huge step can ruin a network, and clipping keeps steps short. "
        "It mends no vanishing gradient, and not every start succeeds.",
    ),
    "tanh": Text(
        "Why tanh, and not ReLU?",
        "Recurrent networks need tanh; with ReLU their states explode.",
        "Q. V. Le, N. Jaitly, G. E. Hinton, A simple way to initialize recurrent networks of "
        "rectified linear units, arXiv:1504.00941 (2015)",
        "tanh bounds the states whatever the weights; with ReLU they grow without limit once the "
        "weights are large. Started at the identity, a ReLU network does learn.",
    ),
    "growth": Text(
        "Does tanh keep the cell state between −1 and 1?",
        "tanh keeps the cell in ±1.",
        "often said; the equation c = f c₋ + i g says otherwise",
        "No: c grows by up to 1 in each step. tanh bounds what is written and what is shown, not "
        "what is kept.",
    ),
    "forgetting": Text(
        "Is forgetting all or nothing, and can an LSTM never forget?",
        "The forget gate decides whether to keep or to drop; an LSTM never forgets.",
        "F. A. Gers, J. Schmidhuber, F. Cummins, Learning to forget: continual prediction with "
        "LSTM, Neural Computation 12 (2000)",
        "Neither: each unit keeps a share f of its own, every f below 1 fades in the end, and even "
        "f = 1 does not save what later steps write over.",
    ),
    "gates": Text(
        "Does each gate learn its job by itself?",
        "The input gate learns what to write, the forget gate what to drop, the output gate what "
        "to show.",
        "how the gates are usually introduced",
        "No: the gates are learned jointly. Each one's gradient depends on all the others, and "
        "where one is frozen the others take over.",
    ),
    "claims": Text(
        "Which claims about the LSTM are looser than they sound?",
        "The gradient is the product of the forget gates; it cannot explode; c stays in ±1; an "
        "LSTM never forgets.",
        "often said; the worked example is one that an introduction computes by hand",
        "All four: each holds of one path or one case, and fails for the whole.",
    ),
}

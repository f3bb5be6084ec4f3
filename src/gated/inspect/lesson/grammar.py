"""A small language of opinions, made for the lesson: every sentence in it has a score by rule.

    sentence := [opening] phrase [("and" | "but") phrase [("and" | "but") phrase]]
    phrase   := [negation] [intensifier] adjective

An adjective has a value, an intensifier multiplies it, a negation turns it round; "and" adds, and
what stands before "but" counts half. The rules are this project's own, and simpler than English.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["FAMOUS", "VOCABULARY", "Example", "examples", "is_held_out", "score"]

FAMOUS = "not at all boring and quite enjoyable"

OPENINGS = (
    "", "it was", "it is", "the movie was", "the movie is", "this film is", "the book was",
    "this book is", "the song was", "the food is", "the film was",
)  # fmt: skip
ADJECTIVES = {
    "good": 1.0, "enjoyable": 1.0, "funny": 1.0, "clever": 1.0, "charming": 1.0, "fresh": 1.0,
    "great": 1.5, "wonderful": 1.5,
    "bad": -1.0, "boring": -1.0, "dull": -1.0, "silly": -1.0, "slow": -1.0, "weak": -1.0,
    "awful": -1.5, "terrible": -1.5,
}  # fmt: skip
INTENSIFIERS = {"slightly": 0.5, "quite": 0.8, "really": 1.3, "very": 1.5, "extremely": 2.0}
NEGATIONS = {"not at all": 1.0, "never": 0.9, "not": 0.8, "hardly": 0.6}
MILD = 0.4  # "not very good" is less bad than "not good"
BEFORE_BUT = 0.5
CLOSE = 0.25  # a sentence of a smaller score is a close call

VOCABULARY: tuple[str, ...] = tuple(
    dict.fromkeys(
        word
        for group in (OPENINGS, NEGATIONS, INTENSIFIERS, ("and", "but"), ADJECTIVES)
        for entry in group
        for word in entry.split()
    )
)


@dataclass(frozen=True)
class Example:
    """A sentence, and for each place where a phrase ends (a word's index) the score so far."""

    words: tuple[str, ...]
    scores: tuple[tuple[int, float], ...]

    @property
    def text(self) -> str:
        """The sentence."""
        return " ".join(self.words)


def score(text: str) -> float:
    """The score of a sentence by the grammar's rules: above 0 is praise.

    Raises:
        ValueError: it is no sentence of the grammar.

    Example:
        >>> score("not at all boring"), score("very good but dull")
        (1.0, -0.25)
    """
    found = _Reader(text.split()).sentence()
    return found[-1][1]


def is_held_out(text: str) -> bool:
    """Whether a sentence is kept for the judgement: training never learns its score.

    A fifth of the sentences of two or three phrases, by a checksum of the words after the opening,
    and every one that ends as the lesson's own does.
    """
    phrases = _without_opening(text)
    several = " and " in phrases or " but " in phrases
    return several and (phrases.endswith(FAMOUS) or zlib.crc32(phrases.encode()) % 5 == 0)


def examples(seed: int) -> Iterator[Example]:
    """Sentences drawn at random, without end."""
    draw = random.Random(seed)
    while True:
        words = draw.choice(OPENINGS).split() if draw.random() < 0.5 else []
        words += _phrase(draw)
        for _ in range(draw.choice((0, 1, 1, 2))):
            words += [draw.choice(("and", "but")), *_phrase(draw)]
        yield Example(tuple(words), tuple(_Reader(words).sentence()))


def _phrase(draw: random.Random) -> list[str]:
    words: list[str] = []
    if draw.random() < 0.5:
        words += draw.choice(list(NEGATIONS)).split()
    if words in ([], ["not"]) and draw.random() < 0.5:
        words.append(draw.choice(list(INTENSIFIERS)))
    return [*words, draw.choice(list(ADJECTIVES))]


def _without_opening(text: str) -> str:
    opening = max((o for o in OPENINGS if text.startswith(f"{o} ")), key=len, default="")
    return text.removeprefix(opening).strip()


class _Reader:
    """Reads a sentence word by word."""

    def __init__(self, words: list[str]):
        self.words, self.at = words, 0
        opening = max(
            (o.split() for o in OPENINGS if words[: len(o.split())] == o.split()), key=len
        )
        self.at = len(opening)

    def sentence(self) -> list[tuple[int, float]]:
        """For each phrase, the index of its last word and the score up to it."""
        total = self._phrase()
        found = [(self.at - 1, total)]
        while self.at < len(self.words):
            (joint,) = self._take(("and", "but")) or self._fail("'and' or 'but'")
            total = (BEFORE_BUT if joint == "but" else 1.0) * total + self._phrase()
            found.append((self.at - 1, total))
        return found

    def _phrase(self) -> float:
        negation = self._take(tuple(NEGATIONS))
        intensifier = self._take(tuple(INTENSIFIERS)) if negation in ([], ["not"]) else []
        (adjective,) = self._take(tuple(ADJECTIVES)) or self._fail("an adjective")
        value = ADJECTIVES[adjective]
        if negation and intensifier:
            return -MILD * value
        if negation:
            return -NEGATIONS[" ".join(negation)] * value
        return value * (INTENSIFIERS[intensifier[0]] if intensifier else 1.0)

    def _take(self, entries: tuple[str, ...]) -> list[str]:
        for entry in entries:
            words = entry.split()
            if self.words[self.at : self.at + len(words)] == words:
                self.at += len(words)
                return words
        return []

    def _fail(self, expected: str) -> list[str]:
        got = repr(self.words[self.at]) if self.at < len(self.words) else "the end"
        raise ValueError(
            f"{' '.join(self.words)!r}: got {got} where {expected} should stand, at word "
            f"{self.at + 1}"
        )

"""Which studies are sent: a number says what each is, so that a run can be repeated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Literal

import numpy as np

from wetread.simulate.mark import Subject

Kind = Literal["chest", "chest-cr", "head"]
_SEEDS_OF_A_RUN = 1000  # so that runs of different seeds share no picture


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """What is drawn once, and sent as often as it is ordered.

    Attributes
    ----------
    kind
        A chest radiograph as DX or as CR, or a head CT.
    seed
        Of the phantom.
    finding
        Whether something is wrong.
    small
        Fewer and smaller pictures than modalities make.
    """

    kind: Kind
    seed: int
    finding: bool
    small: bool

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.kind}-{self.seed}-{'finding' if self.finding else 'normal'}"


@dataclass(frozen=True, kw_only=True)
class Order:
    """One study to be made.

    Attributes
    ----------
    number
        Its place in the run, from 0.
    pattern
        What it shows.
    subject
        Under whose name.
    """

    number: int
    pattern: Pattern
    subject: Subject


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run consists of.

    Attributes
    ----------
    kinds
        Taken in turn; one that is named twice comes twice as often.
    findings
        Share of studies with a finding, 0 to 1.
    subjects
        How many there are, who then have several studies; 0: each study has its own.
    distinct
        How many patients are drawn of each kind, with and without a finding.
    seed
        The same seed gives the same subjects and pictures; identifiers are new in each run.
    small
        As in ``Pattern``.
    """

    kinds: tuple[Kind, ...] = ("chest", "head")
    findings: float = 0.3
    subjects: int = 0
    distinct: int = 4
    seed: int = 0
    small: bool = False

    def order(self, number: int) -> Order:
        """Return what the study of this number is."""
        rng = np.random.default_rng([self.seed, 20, number])
        finding = bool(rng.random() < self.findings)
        who = int(rng.integers(self.subjects)) if self.subjects else number
        of_subject = np.random.default_rng([self.seed, 21, who])
        pattern = Pattern(
            kind=self.kinds[number % len(self.kinds)],
            seed=self.seed * _SEEDS_OF_A_RUN + int(of_subject.integers(self.distinct)),
            finding=finding,
            small=self.small,
        )
        subject = Subject(
            group=self.seed, number=who, birth_year=int(of_subject.integers(1940, 2000))
        )
        return Order(number=number, pattern=pattern, subject=subject)

    def orders(self, studies: int) -> Iterator[Order]:
        """Yield so many orders; endlessly for 0."""
        numbers = range(studies) if studies else count()
        return (self.order(number) for number in numbers)

"""The training loop: epochs, an average of the weights, early stopping, and resuming after a kill.

Needs torch.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from training.progress import Progress
from training.recipe import FitSection

Draw = Callable[[torch.Generator], Iterable[tuple[Tensor, ...]]]
Loss = Callable[[nn.Module, tuple[Tensor, ...]], Tensor]
Validate = Callable[[nn.Module], float]


@dataclass
class History:
    """What each epoch came to; ``val`` stays empty where nothing is validated."""

    train: list[float] = field(default_factory=list)
    val: list[float] = field(default_factory=list)
    best: int = 0


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One training run.

    Attributes
    ----------
    name
        For the progress display.
    draw
        Yields one epoch of batches on the CPU.
    steps
        Batches per epoch.
    loss
        Of the network on a batch that lies on its device.
    validate
        Loss on validation; None trains for all epochs and keeps the last average.
    groups
        Parameter groups with their greatest learning rates, ``params`` and ``lr``.
    fit
        How long and how fast.
    checkpoint
        File to continue from after a kill; None keeps nothing.
    """

    name: str
    draw: Draw
    steps: int
    loss: Loss
    validate: Validate | None
    groups: list[dict[str, Any]]
    fit: FitSection
    checkpoint: Path | None = None


def device() -> torch.device:
    """CUDA where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def fine_tune(network: nn.Module, stage: Stage, progress: Progress) -> tuple[nn.Module, History]:
    """Train and return the averaged network of the best epoch, on the CPU, and the history.

    Every epoch is written to ``stage.checkpoint``; a killed run continues after the last whole
    epoch, with the same random numbers.
    """
    run = _Run(network, stage)
    run.resume()
    while not run.over:
        learned = run.epoch(progress)
        run.judge(learned, progress)
        run.keep()
    return run.best.cpu().eval(), run.history


class _Run:
    """The state of a run, all of which a checkpoint holds."""

    def __init__(self, network: nn.Module, stage: Stage) -> None:
        self.stage = stage
        self.device = device()
        self.network = network.to(self.device)
        self.average, self.best = copy.deepcopy(network), copy.deepcopy(network)
        fit = stage.fit
        self.optimiser = torch.optim.AdamW(stage.groups, weight_decay=fit.decay)
        total = max(fit.epochs * stage.steps, 1)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser,
            [group["lr"] for group in stage.groups],
            # Of five steps the rise is one step long, and torch divides by zero.
            total_steps=6 if total == 5 else total,
            pct_start=0.2,
        )
        # Half precision pays on CUDA alone.
        self.mixed = self.device.type == "cuda"
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.mixed)
        self.generator = torch.Generator().manual_seed(fit.seed)
        torch.manual_seed(fit.seed)
        self.history = History()
        self.least = float("inf")

    @property
    def epochs(self) -> int:
        return len(self.history.train)

    @property
    def over(self) -> bool:
        fit = self.stage.fit
        waited = self.epochs - 1 - self.history.best
        stopped = self.stage.validate is not None and waited >= fit.patience
        return self.epochs >= fit.epochs or stopped

    def epoch(self, progress: Progress) -> float:
        """Learn from one epoch; return its mean loss."""
        stage, total, steps = self.stage, 0.0, 0
        self.network.train()
        text = f"{stage.name}, epoch {self.epochs + 1} of at most {stage.fit.epochs}"
        for batch in progress.track(stage.draw(self.generator), stage.steps, text):
            total += self._step(tuple(each.to(self.device) for each in batch))
            steps += 1
        return total / max(steps, 1)

    def _step(self, batch: tuple[Tensor, ...]) -> float:
        with torch.autocast(self.device.type, torch.float16, enabled=self.mixed):
            loss = self.stage.loss(self.network, batch)
        self.optimiser.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimiser)
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.schedule.step()
        with torch.no_grad():
            pairs = zip(self.average.parameters(), self.network.parameters(), strict=True)
            for old, new in pairs:
                old.lerp_(new, 1.0 - self.stage.fit.averaging)
        return float(loss.detach())

    def judge(self, learned: float, progress: Progress) -> None:
        """Validate the averaged network, and keep it if it is the best."""
        validate, text = self.stage.validate, f"train {learned:.4f}"
        self.history.train.append(learned)
        if validate is None:
            better = True
        else:
            self.average.eval()
            seen = validate(self.average)
            self.history.val.append(seen)
            better = seen < self.least
            self.least = min(self.least, seen)
            text += f", validation {seen:.4f}{' (best)' if better else ''}"
        if better:
            self.history.best = self.epochs - 1
            self.best.load_state_dict(self.average.state_dict())
        progress.say(f"{self.stage.name}, epoch {self.epochs}: {text}")

    _PARTS = ("network", "average", "best", "optimiser", "schedule", "scaler")

    def keep(self) -> None:
        """Write the state, whole or not at all."""
        path = self.stage.checkpoint
        if path is None:
            return
        state = {name: getattr(self, name).state_dict() for name in self._PARTS}
        state |= {"history": vars(self.history), "least": self.least}
        state |= {"generator": self.generator.get_state(), "torch": torch.get_rng_state()}
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        torch.save(state, part)
        part.replace(path)

    def resume(self) -> None:
        """Take up the state of a killed run, if there is one."""
        path = self.stage.checkpoint
        if path is None or not path.is_file():
            return
        state = torch.load(path, weights_only=True, map_location="cpu")
        for name in self._PARTS:
            getattr(self, name).load_state_dict(state[name])
        self.history = History(**state["history"])
        self.least = state["least"]
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["torch"])

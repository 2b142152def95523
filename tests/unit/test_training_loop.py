"""The training loop; skipped where torch is not installed."""

from __future__ import annotations

import importlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from training.progress import Progress
from training.recipe import FitSection

torch: Any = pytest.importorskip("torch", reason="torch is not installed (extra: train)")
loop: Any = importlib.import_module("training.loop")
ROOT = Path(__file__).parents[2]
QUIET = Progress(quiet=True)
STEPS, BATCH = 5, 16


def network() -> Any:
    """It drops some of its inputs, so that it needs torch's own random numbers too."""
    torch.set_num_threads(1)
    torch.manual_seed(3)
    return torch.nn.Sequential(
        torch.nn.Linear(4, 8), torch.nn.Dropout(0.2), torch.nn.ReLU(), torch.nn.Linear(8, 1)
    )


def draw(generator: Any) -> Iterator[tuple[Any, Any]]:
    """Whether the first of four numbers is above zero."""
    for _ in range(STEPS):
        values = torch.randn(BATCH, 4, generator=generator)
        yield values, (values[:, :1] > 0).float()


def learn(net: Any, batch: tuple[Any, Any]) -> Any:
    return torch.nn.functional.binary_cross_entropy_with_logits(net(batch[0]), batch[1])


def validate(net: Any) -> float:
    generator = torch.Generator().manual_seed(99)
    with torch.no_grad():
        return sum(float(learn(net, each)) for each in draw(generator)) / STEPS


def stage(net: Any, checkpoint: Path | None = None, **changes: Any) -> Any:
    how: dict[str, Any] = {"epochs": 6, "patience": 6, "averaging": 0.5}
    fit = FitSection(**{**how, **{key: changes.pop(key) for key in [*changes] if key in how}})
    stated = {
        "name": "test",
        "draw": draw,
        "steps": STEPS,
        "loss": learn,
        "validate": validate,
        "groups": [{"params": list(net.parameters()), "lr": 0.05}],
        "fit": fit,
        "checkpoint": checkpoint,
    }
    return loop.Stage(**{**stated, **changes})


def same(first: Any, second: Any) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(*pair) for pair in pairs)


def test_it_learns() -> None:
    net = network()
    before = validate(net.eval())
    best, history = loop.fine_tune(net, stage(net, epochs=12), QUIET)
    assert validate(best) < 0.3 < 0.6 < before
    assert len(history.train) == len(history.val) == 12
    assert not best.training


def test_the_same_seed_gives_the_same_network() -> None:
    nets = [network(), network()]
    first, second = (loop.fine_tune(net, stage(net), QUIET)[0] for net in nets)
    assert same(first, second)


def test_the_best_epoch_is_kept_and_waiting_has_an_end() -> None:
    losses = iter([0.9, 0.5, 0.7, 0.6, 0.8, 0.1])
    seen: list[Any] = []

    def said(net: Any) -> float:
        seen.append([each.clone() for each in net.parameters()])
        return next(losses)

    net = network()
    best, history = loop.fine_tune(net, stage(net, patience=3, validate=said), QUIET)
    assert history.val == [0.9, 0.5, 0.7, 0.6, 0.8]
    assert history.best == 1
    pairs = zip(best.parameters(), seen[1], strict=True)
    assert all(torch.equal(*pair) for pair in pairs)


def test_without_validation_every_epoch_is_run_and_the_last_average_kept() -> None:
    net = network()
    best, history = loop.fine_tune(net, stage(net, validate=None, patience=1), QUIET)
    assert (len(history.train), history.val, history.best) == (6, [], 5)
    assert not same(best, network())


def test_the_average_follows_the_weights() -> None:
    """With no averaging the kept network is the trained one; with much of it, it lags behind."""
    start = network()
    far = []
    for averaging in (0.0, 0.9):
        net = network()
        how = stage(net, epochs=1, averaging=averaging, validate=None)
        best, _ = loop.fine_tune(net, how, QUIET)
        pairs = zip(best.parameters(), start.parameters(), strict=True)
        far.append(sum(float((a - b).detach().abs().sum()) for a, b in pairs))
        if averaging == 0.0:
            assert all(
                torch.equal(*pair) for pair in zip(best.parameters(), net.parameters(), strict=True)
            )
    assert far[1] < 0.5 * far[0]


def test_what_is_frozen_stays() -> None:
    net = network()
    net[0].requires_grad_(False)
    groups = [{"params": list(net[3].parameters()), "lr": 0.05}]
    best, _ = loop.fine_tune(net, stage(net, groups=groups), QUIET)
    assert torch.equal(best[0].weight, network()[0].weight)
    assert not torch.equal(best[3].weight, network()[3].weight)


def test_a_finished_run_is_not_run_again(tmp_path: Path) -> None:
    first, second = network(), network()
    done, history = loop.fine_tune(first, stage(first, tmp_path / "a.pt"), QUIET)

    def never(generator: Any) -> Iterator[tuple[Any, Any]]:
        raise AssertionError("drawn again")

    again, told = loop.fine_tune(second, stage(second, tmp_path / "a.pt", draw=never), QUIET)
    assert same(done, again)
    assert told == history


def test_a_checkpoint_is_whole_or_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill while the file is written leaves the state of the epoch before."""
    net, path = network(), tmp_path / "a.pt"
    loop.fine_tune(net, stage(net, path), QUIET)
    whole = path.read_bytes()

    def cut_off(state: Any, part: Path) -> None:
        part.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", cut_off)
    other = network()
    run = loop._Run(other, stage(other, path))
    with pytest.raises(KeyboardInterrupt):
        run.keep()
    assert path.read_bytes() == whole


CHILD = """
import importlib.util, os, signal, sys
from pathlib import Path

spec = importlib.util.spec_from_file_location("own", sys.argv[1])
own = importlib.util.module_from_spec(spec)
spec.loader.exec_module(own)
net, checkpoint, last = own.network(), Path(sys.argv[2]), int(sys.argv[3])
steps = 0

def draw(generator):
    global steps
    for batch in own.draw(generator):
        steps += 1
        if steps == last:
            os.kill(os.getpid(), signal.SIGKILL)
        yield batch

best, history = own.loop.fine_tune(net, own.stage(net, checkpoint, draw=draw), own.QUIET)
own.torch.save({"weights": best.state_dict(), "history": vars(history)}, sys.argv[4])
"""


def child(checkpoint: Path, last: int, out: Path) -> int:
    """Train in a process of its own, which kills itself at its ``last`` step."""
    return subprocess.run(
        [sys.executable, "-c", CHILD, __file__, str(checkpoint), str(last), str(out)],
        cwd=ROOT,
        check=False,
        capture_output=True,
    ).returncode


def test_a_killed_run_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    net = network()
    wanted, history = loop.fine_tune(net, stage(net), QUIET)
    # In the middle of the third epoch: what was learned in it is lost, and learned again.
    assert child(tmp_path / "a.pt", 2 * STEPS + 3, tmp_path / "out.pt") == -signal.SIGKILL
    assert (tmp_path / "a.pt").is_file()
    assert not (tmp_path / "out.pt").exists()
    assert child(tmp_path / "a.pt", 0, tmp_path / "out.pt") == 0
    found = torch.load(tmp_path / "out.pt", weights_only=True)
    assert found["history"] == vars(history)
    assert found["weights"].keys() == wanted.state_dict().keys()
    for name, values in wanted.state_dict().items():
        assert torch.equal(values, found["weights"][name]), name


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    """The finished epochs are not run again: four of six are left after a kill in the third."""
    child(tmp_path / "a.pt", 2 * STEPS + 1, tmp_path / "out.pt")
    assert child(tmp_path / "a.pt", 4 * STEPS + 1, tmp_path / "out.pt") == 0

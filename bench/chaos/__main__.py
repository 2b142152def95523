"""Everything is killed while studies come, and nothing may be lost.

``python -m bench.chaos [--minutes 10] [--studies 200] [--seed 1] [--only KIND] [--power FS]
[--folder DIR]``

200 mixed studies are sent over 4 associations, spread over the time, some of them in two pieces.
Meanwhile receivers, workers, courier, the whole node, the PACS (Orthanc) and PostgreSQL are killed
(-9) and started again at random, and the power of the node's host fails: all its processes are
killed, and what was not brought to the disk is lost. Once the disk is full, and once the PACS
refuses. Consoles send again what was not answered with Success. When all is over, each instance
that was answered with Success must be in the archive byte for byte, each study must have been read
whole, and the PACS must hold each result once. Prints the faults and the losses; the exit code is 1
if there is one.

Runs on PostgreSQL and then on SQLite; ``--only`` names one. With ``--power`` there is nothing but
power cuts, on a file system of that kind. The disk can be full, and lose its power, only where the
user may mount a file (root).
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from random import Random

from bench.chaos.consoles import Console
from bench.chaos.faults import Faults
from bench.chaos.judge import Books, Verdict, judge
from bench.chaos.site import running
from bench.chaos.studies import mixed
from tests.disk import Disk

_ASSOCIATIONS = 4
_SETTLE_SECONDS = 300.0


@dataclass(frozen=True)
class Run:
    """What a run came to.

    Attributes
    ----------
    faults
        How often each struck.
    refusals
        What consoles heard instead of Success, by status; 0 stands for a lost connection.
    acknowledged
        How many instances were answered with Success.
    settled_seconds
        From the last fault until all had come to an end.
    """

    faults: Counter[str]
    refusals: Counter[int]
    acknowledged: int
    settled_seconds: float
    verdict: Verdict


def run(
    folder: Path, kind: str, number: int, seconds: float, seed: int, power_of: Disk | None = None
) -> Run:
    """Send studies for so many seconds while faults strike, and judge.

    Parameters
    ----------
    folder, kind
        Where all lies, and of which kind the database is: "sqlite" or "postgresql".
    number, seconds, seed
        How many studies are sent in which time, and what decides about them and the faults.
    power_of
        The disk on which the node lies and whose power is cut again and again; None for all other
        faults, and for that one among them.

    Raises
    ------
    RuntimeError
        A fault could not be brought about, or what was killed does not start again.
    """
    (folder / "studies").mkdir(parents=True)
    sent = mixed(folder / "studies", number, seed)
    with running(folder, kind, number, power_of) as site:
        consoles = [
            Console(site.node.port, site.node.ae_title, sent[one::_ASSOCIATIONS], seconds * 0.9)
            for one in range(_ASSOCIATIONS)
        ]
        faults = Faults(site, seconds, Random(seed), power_alone=power_of is not None)
        for each in (*consoles, faults):
            each.start()
        faults.join()
        over = time.monotonic()
        if faults.error is not None:
            raise RuntimeError(f"a fault failed: {faults.error}") from faults.error
        for each in consoles:
            each.join(_SETTLE_SECONDS)
        acknowledged = {uid: one for each in consoles for uid, one in each.acknowledged.items()}
        books = Books(site.node.config)
        while books.moving() and time.monotonic() < over + _SETTLE_SECONDS:
            time.sleep(0.5)
        settled = time.monotonic() - over
        verdict = judge(books, site.orthanc, sent, acknowledged)
        books.database.close()
        verdict.losses["not taken in the end"] = [
            one.sop_instance_uid
            for each in sent
            for one in each.instances
            if one.sop_instance_uid not in acknowledged
        ]
    refusals = sum((each.refusals for each in consoles), Counter[int]())
    return Run(faults.counts, refusals, len(acknowledged), settled, verdict)


def show(kind: str, number: int, seconds: float, seed: int, outcome: Run) -> None:
    """Print it."""
    verdict = outcome.verdict
    print(f"\n{kind}: {number} studies, {seconds / 60:.1f} minutes, seed {seed}")
    print(f"{outcome.acknowledged} instances answered with Success; {verdict.results} results in")
    print(f"the PACS; {verdict.grown} studies came in pieces and were read again; all had come to")
    print(f"an end {outcome.settled_seconds:.0f} s after the last fault")
    said = {
        "no answer" if status == 0 else f"status {status:04X}": count
        for status, count in sorted(outcome.refusals.items())
    }
    print("consoles sent again after " + (", ".join(f"{n} {s}" for s, n in said.items()) or "none"))
    print(f"\n{'fault':<50}{'times':>8}")
    for name, count in sorted(outcome.faults.items()):
        print(f"{name:<50}{count:>8}")
    print(f"\n{'loss':<50}{'count':>8}")
    for name, whom in verdict.losses.items():
        print(f"{name:<50}{len(whom):>8}   {' '.join(whom[:3])}".rstrip())
    print(f"{'all':<50}{verdict.total:>8}", flush=True)


def main() -> int:
    """Run the benchmark."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--minutes", type=float, default=10.0)
    arguments.add_argument("--studies", type=int, default=200)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--only", choices=("postgresql", "sqlite"), help="this database alone")
    arguments.add_argument("--power", choices=("ext4", "xfs"), help="nothing but power cuts")
    arguments.add_argument("--folder", type=Path, help="where to write; kept if there is a loss")
    chosen = arguments.parse_args()
    losses = 0
    for kind in [chosen.only] if chosen.only else ["postgresql", "sqlite"]:
        folder = Path(tempfile.mkdtemp(prefix="wetread-chaos-", dir=chosen.folder))
        seconds = chosen.minutes * 60
        with Disk(folder, chosen.power) if chosen.power else nullcontext() as disk:
            outcome = run(folder, kind, chosen.studies, seconds, chosen.seed, disk)
        show(kind, chosen.studies, seconds, chosen.seed, outcome)
        losses += outcome.verdict.total
        if outcome.verdict.total:
            print(f"what it wrote lies in {folder}")
        else:
            shutil.rmtree(folder)
    return 1 if losses else 0


if __name__ == "__main__":
    sys.exit(main())

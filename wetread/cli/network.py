"""``wetread echo|send``: a peer, called by hand."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wetread.cli.output import ConfigOption, Exit, JsonOption, show_json, show_table
from wetread.config import load

if TYPE_CHECKING:
    from delivery.associate import Peer
    from delivery.dicomweb import WebPeer

Target = Annotated[str, typer.Argument(help="Name of a destination, or AET@host:port.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("echo", epilog="Examples: wetread echo pacs. wetread echo ORTHANC@10.1.2.3:4242.")(
        echo
    )
    app.command("send", epilog="Example: wetread send ./study --to WETREAD@ai-1:11112.")(send)


def echo(target: Target, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Verify a peer with C-ECHO; a DICOMweb destination by asking for a study that nobody has."""
    from delivery.associate import Peer
    from wetread.peers import parse_peer

    peer = parse_peer(load(config), target)
    started = time.perf_counter()
    reason = _verify(peer) if isinstance(peer, Peer) else _verify_web(peer)
    seconds = round(time.perf_counter() - started, 3)
    if as_json:
        row = {"peer": str(peer), "ok": not reason, "seconds": seconds, "reason": reason or None}
        show_json(row)
    elif not reason:
        typer.echo(f"{peer} answers ({seconds} s)")
    if reason:
        sys.stderr.write(f"wetread: {reason}\n")
        raise typer.Exit(Exit.FAILED)


def _verify(peer: Peer) -> str:
    """Why a peer does not answer C-ECHO; empty if it does."""
    from delivery.associate import NoAssociation
    from delivery.send import echo as verify

    try:
        status = verify(peer)
    except NoAssociation as error:
        return str(error)
    if status == 0:
        return ""
    return "no answer" if status is None else f"status {status:04X}"


def _verify_web(peer: WebPeer) -> str:
    from delivery.stow import verify

    return verify(peer)


def send(
    paths: Annotated[list[Path], typer.Argument(help="DICOM files, and folders with such.")],
    to: Annotated[str, typer.Option("--to", help="Name of a destination, or AET@host:port.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send files with C-STORE, to a DICOMweb destination STOW-RS; fails if any was not stored."""
    from delivery.associate import NoAssociation
    from delivery.destination import Away
    from wetread.peers import parse_peer, send_files

    peer = parse_peer(load(config), to)
    rows = []
    try:
        rows = [
            {
                "path": str(each.path),
                "sop_instance_uid": each.sop_instance_uid or None,
                "ok": each.stored,
                "status": None if each.status is None else f"{each.status:04X}",
                "reason": each.reason or None,
            }
            for each in send_files(peer, paths)
        ]
    except (NoAssociation, Away) as error:
        sys.stderr.write(f"wetread: {error}\n")
        raise typer.Exit(Exit.FAILED) from error
    if as_json:
        show_json(rows)
    else:
        show_table(rows, ("path", "ok", "status", "reason"), "no files")
    if not rows or not all(each["ok"] for each in rows):
        raise typer.Exit(Exit.FAILED)

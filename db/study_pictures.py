"""Which files of a study can be looked at: its images, and the overlays that were made of them."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, func, select

from db.errors import NotFound
from db.schema import Instance, InstanceState, Job, Result

_OVERLAY = "sc"  # sr.identity.Kind.OVERLAY, which this room does not import


class Image(NamedTuple):
    """A received image; ``path`` is relative to the data folder."""

    sop_instance_uid: str
    series_uid: str
    modality: str
    path: str


class Overlay(NamedTuple):
    """A picture that a job made, in the look of its first destination."""

    result_id: int
    job_id: int
    model: str
    number: int
    path: str


def images(connection: Connection, study_uid: str, most: int) -> list[Image]:
    """Images of a study that are here: all, or so many evenly spread, in the order they came."""
    here = connection.execute(select(func.count()).where(*_here(study_uid))).scalar_one()
    if here <= most:
        return [Image(*row) for row in connection.execute(_images(study_uid))]
    found = []
    for number in range(most):
        place = (2 * number + 1) * here // (2 * most)
        row = connection.execute(_images(study_uid).offset(place).limit(1)).one_or_none()
        if row is not None:
            found.append(Image(*row))
    return found


def image(connection: Connection, sop_instance_uid: str) -> tuple[str, str]:
    """Study and path of a received image.

    Raises
    ------
    NotFound
        It is not here, or not any more.
    """
    row = connection.execute(
        select(Instance.study_uid, Instance.path).where(
            Instance.sop_instance_uid == sop_instance_uid, Instance.state == InstanceState.STORED
        )
    ).one_or_none()
    if row is None:
        raise NotFound("this image is not here")
    return row.study_uid, row.path


def overlays(connection: Connection, study_uid: str) -> list[Overlay]:
    """What the jobs of a study drew, newest job first; each picture once."""
    rows = connection.execute(
        select(func.min(Result.id), Result.job_id, Job.model, Result.number)
        .join(Job, Job.id == Result.job_id)
        .where(Job.study_uid == study_uid, Result.kind == _OVERLAY, Result.rank == 0)
        .group_by(Result.job_id, Job.model, Result.number)
        .order_by(Result.job_id.desc(), Result.number)
    ).all()
    files = select(Result.id, Result.path).where(Result.id.in_([row[0] for row in rows]))
    paths = {each[0]: each[1] for each in connection.execute(files)}
    return [Overlay(*row, paths[row[0]]) for row in rows]


def overlay(connection: Connection, result_id: int) -> tuple[str, str]:
    """Study and path of a picture that was made.

    Raises
    ------
    NotFound
        There is none.
    """
    row = connection.execute(
        select(Job.study_uid, Result.path)
        .join(Job, Job.id == Result.job_id)
        .where(Result.id == result_id, Result.kind == _OVERLAY)
    ).one_or_none()
    if row is None:
        raise NotFound("this picture is not here")
    return row.study_uid, row.path


def _images(study_uid: str) -> Select[str, str, str, str]:
    return (
        select(Instance.sop_instance_uid, Instance.series_uid, Instance.modality, Instance.path)
        .where(*_here(study_uid))
        .order_by(Instance.received_at, Instance.sop_instance_uid)
    )


def _here(study_uid: str) -> tuple[ColumnElement[bool], ...]:
    return (
        Instance.study_uid == study_uid,
        Instance.own.is_(False),
        Instance.state == InstanceState.STORED,
    )

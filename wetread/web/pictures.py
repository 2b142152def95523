"""Small pictures of archived images and of the overlays that were made of them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from io import BytesIO
from pathlib import Path

import numpy as np
import structlog
from PIL import Image
from pydicom import Dataset, dcmread
from starlette.responses import Response
from starlette.routing import Route

from db import study_pictures
from db.errors import where
from inference.pixels import displayed
from wetread.web.visits import Visit, page

SMALL, LARGE = 224, 768
"""Pixels of the longer side."""

_AT_ONCE = 2
_MOST_PIXELS = 64_000_000  # a mosaic of several detectors is below
_KEPT_BYTES = 48_000_000
_PRIVATE = "private, max-age=3600"

_log = structlog.get_logger(__name__)


class Pictures:
    """Makes PNGs, and keeps the latest in memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[Path, int], bytes] = OrderedDict()
        self._size = 0

    def png(self, file: Path, side: int) -> bytes:
        """A picture of a DICOM file; a grey square where none can be made."""
        key = (file, side)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = _png(_picture(file), side)
        with self._lock:
            self._size += len(made) - len(self._kept.pop(key, b""))
            self._kept[key] = made
            while self._size > _KEPT_BYTES:
                self._size -= len(self._kept.popitem(last=False)[1])
        return made


def routes() -> list[Route]:
    """Pictures of images and overlays, small and large."""
    pictures = Pictures()

    def image(visit: Visit) -> Response:
        uid = visit.request.path_params["uid"]
        with visit.site.database.read() as connection:
            found = study_pictures.image(connection, uid)
        return _answer(visit, pictures, found)

    def study(visit: Visit) -> Response:
        uid = visit.request.path_params["uid"]
        with visit.site.database.read() as connection:
            middle = study_pictures.images(connection, uid, most=1)
        if not middle:
            return Response(_png(_nothing(), SMALL), media_type="image/png")
        return _answer(visit, pictures, (uid, middle[0].path))

    def overlay(visit: Visit) -> Response:
        with visit.site.database.read() as connection:
            found = study_pictures.overlay(connection, visit.request.path_params["id"])
        return _answer(visit, pictures, found)

    return [
        page("/pictures/image/{uid}", image, at_once=_AT_ONCE),
        page("/pictures/study/{uid}", study, at_once=_AT_ONCE),
        page("/pictures/overlay/{id:int}", overlay, at_once=_AT_ONCE),
    ]


def _answer(visit: Visit, pictures: Pictures, found: tuple[str, str]) -> Response:
    study_uid, path = found
    visit.saw([study_uid])
    side = LARGE if visit.asked("size") == "large" else SMALL
    content = pictures.png(visit.site.archive.full_path(path), side)
    return Response(content, media_type="image/png", headers={"Cache-Control": _PRIVATE})


def _picture(file: Path) -> Image.Image:
    try:
        return _decoded(dcmread(file, force=True))
    except Exception as error:  # noqa: BLE001 - a peer's file may fail in any way; the page goes on
        _log.info("web.no_picture", error=where(error))
        return _nothing()


def _decoded(dataset: Dataset) -> Image.Image:
    if int(dataset.Rows) * int(dataset.Columns) > _MOST_PIXELS:
        raise ValueError("too large")
    if int(dataset.SamplesPerPixel) == 1:
        return Image.fromarray(displayed(dataset))
    return Image.fromarray(np.asarray(dataset.pixel_array, np.uint8), "RGB")


def _nothing() -> Image.Image:
    return Image.new("L", (64, 64), 96)


def _png(picture: Image.Image, side: int) -> bytes:
    picture.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    content = BytesIO()
    picture.save(content, "PNG", compress_level=4)
    return content.getvalue()

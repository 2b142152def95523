"""The part of a report that says who observed and which images: TID 1001 and TID 1600."""

from __future__ import annotations

from collections.abc import Iterable

from pydicom import Dataset

from sr import codes
from sr.catalogue import catalogue
from sr.content import Relation, coded, container, image, number, text, uid
from sr.identity import DEVICE_SERIAL_NUMBER, MANUFACTURER, MODEL_NAME, OBSERVER_UID
from sr.patient import orientation, spacing

_ACQUISITION = Relation.HAS_ACQ_CONTEXT


def observation_context(language: str) -> list[Dataset]:
    """Return language and observer: this device (PS3.16 TID 1204, 1001, 1004).

    Parameters
    ----------
    language
        Of the text values; a language that ``sr.style.LANGUAGES`` names.
    """
    context = Relation.HAS_OBS_CONTEXT
    spoken = catalogue(language)
    return [
        coded(
            codes.LANGUAGE,
            codes.language(spoken.tag, spoken.meaning),
            Relation.HAS_CONCEPT_MOD,
        ),
        coded(codes.OBSERVER_TYPE, codes.DEVICE, context),
        uid(codes.DEVICE_OBSERVER_UID, OBSERVER_UID, context),
        text(codes.DEVICE_OBSERVER_NAME, MODEL_NAME, context),
        text(codes.DEVICE_OBSERVER_MANUFACTURER, MANUFACTURER, context),
        text(codes.DEVICE_OBSERVER_MODEL, MODEL_NAME, context),
        text(codes.DEVICE_OBSERVER_SERIAL, DEVICE_SERIAL_NUMBER, context),
    ]


def image_library(sources: Iterable[Dataset]) -> Dataset:
    """Return the Image Library (PS3.16 TID 1600): one group with every image."""
    entries = [image(source, Relation.CONTAINS, _descriptors(source)) for source in sources]
    return container(codes.IMAGE_LIBRARY, [container(codes.IMAGE_LIBRARY_GROUP, entries)])


def _descriptors(source: Dataset) -> list[Dataset]:
    """Return what is known about an image (PS3.16 TID 1602, 1603), and no more."""
    items = [
        coded(codes.MODALITY, codes.modality(str(source.get("Modality"))), _ACQUISITION),
        number(codes.PIXEL_DATA_ROWS, str(source.Rows), codes.PIXELS, _ACQUISITION),
        number(codes.PIXEL_DATA_COLUMNS, str(source.Columns), codes.PIXELS, _ACQUISITION),
    ]
    directions = orientation(source)
    if directions:
        row, column = directions
        items.append(text(codes.PATIENT_ORIENTATION_ROW, row, _ACQUISITION))
        items.append(text(codes.PATIENT_ORIENTATION_COLUMN, column, _ACQUISITION))
    distances = spacing(source, "ImagerPixelSpacing") or spacing(source, "PixelSpacing")
    if distances:
        between_rows, between_columns = (f"{each:.6g}" for each in distances)
        millimetre = codes.MILLIMETRE
        items += [
            number(codes.HORIZONTAL_PIXEL_SPACING, between_columns, millimetre, _ACQUISITION),
            number(codes.VERTICAL_PIXEL_SPACING, between_rows, millimetre, _ACQUISITION),
        ]
    return items

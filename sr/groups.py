"""The measurement groups of a report: the study, its images, and the regions marked on them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count

from pydicom import Dataset
from pydicom.sr.coding import Code

from sr import codes, wording
from sr.content import Relation, coded, container, number, point, polyline, text, uid
from sr.contours import Polyline, box_outline, mask_parts
from sr.document import Origin
from sr.findings import (
    Decision,
    Grade,
    ImageReading,
    Normality,
    Probability,
    Reading,
    Region,
    Segment,
    StudyAnswer,
    Urgency,
)
from sr.heatmap import CONTOUR_AT, contours, peak
from sr.identity import Kind, result_uid
from sr.patient import image_area, instance_number
from sr.picture import shows_heatmap

_CORNER = 0.06  # of the image, from its upper left corner


def measurement_groups(
    origin: Origin, images: Mapping[str, Dataset], reading: Reading
) -> list[Dataset]:
    """Return the measurement groups of a reading (PS3.16 TID 1501, 1410).

    Parameters
    ----------
    origin
        What the report is made of.
    images
        The sources of the reading's images by SOP Instance UID, in the reading's order.
    reading
        What the model says.
    """
    groups = [] if reading.study is None else [_study_group(origin, images, reading, reading.study)]
    activations = count(1)
    for index, image in enumerate(reading.images):
        source = images[image.sop_instance_uid]
        groups.append(_image_group(source, reading, index))
        for place, (shown, region) in enumerate(reading.numbered_regions(image), start=1):
            groups.append(_region_group(source, reading, region, shown, f"finding {place}"))
        for place, segment in enumerate(image.segments, start=1):
            groups += _segment_groups(source, reading, segment, f"outline {place}")
        groups += _activation_groups(source, reading, image, activations)
    return groups


def _group(
    reading: Reading,
    tracking: tuple[str, str],
    finding: Code | None,
    items: Iterable[Dataset],
    *,
    template: str = "1501",
) -> Dataset:
    """Return a measurement group; ``tracking`` is its tracking identifier and UID."""
    context, modifier = Relation.HAS_OBS_CONTEXT, Relation.HAS_CONCEPT_MOD
    algorithm = reading.algorithm
    return container(
        codes.MEASUREMENT_GROUP,
        [
            # Viewers take the group's first UID reference for its tracking UID.
            text(codes.TRACKING_IDENTIFIER, tracking[0], context),
            uid(codes.TRACKING_UNIQUE_IDENTIFIER, tracking[1], context),
            *([] if finding is None else [coded(codes.FINDING, finding)]),
            # Algorithm identification (PS3.16 TID 4019)
            text(codes.ALGORITHM_NAME, algorithm.name, modifier),
            text(codes.ALGORITHM_VERSION, algorithm.version, modifier),
            text(codes.ALGORITHM_MANUFACTURER, algorithm.manufacturer, modifier),
            coded(codes.ALGORITHM_FAMILY, codes.ARTIFICIAL_INTELLIGENCE, modifier),
            *items,
        ],
        template=template,
    )


def _tracking_uid(source: Dataset, reading: Reading, purpose: str = "tracking") -> str:
    return result_uid([str(source.SOPInstanceUID)], reading.algorithm, Kind.REPORT, purpose)


# -- the study and its images --


def _study_group(
    origin: Origin, images: Mapping[str, Dataset], reading: Reading, study: StudyAnswer
) -> Dataset:
    """Return the group of the study as a whole; its point lies on the most suspicious image."""
    first = study.suspicious[0] if study.suspicious else reading.images[0].sop_instance_uid
    shown = next(each for each in reading.images if each.sop_instance_uid == first)
    finding = _stated(study.decision)
    leading, others = _probabilities(study.probabilities, study.decision)
    source = images[shown.sop_instance_uid]
    items = [
        *_decision(study.decision),
        *leading,
        *others,
        number(codes.IMAGES_READ, str(study.images_read), codes.IMAGES),
        *_urgency(reading.urgency),
        # In a corner: at its peak stands the label of the slice itself.
        point(
            codes.SOURCE_OF_MEASUREMENT,
            _CORNER * float(source.Columns),
            _CORNER * float(source.Rows),
            source,
        ),
    ]
    return _group(reading, ("AI study", origin.uid(Kind.REPORT, "study")), finding, items)


def _image_group(source: Dataset, reading: Reading, index: int) -> Dataset:
    """Return the group of one image, or of one slice of a series."""
    image = reading.images[index]
    finding = _finding(reading, image)
    leading, others = _probabilities(image.probabilities, reading.decision_on(image))
    items = [
        *([] if image.decision is None else _decision(image.decision)),
        *leading,
        *_measurements(source, image),
        *others,
        *_rank(reading, image),
        *(_urgency(reading.urgency) if reading.study is None and index == 0 else []),
        _where(source, reading, image),
    ]
    name = _image_name(source, reading, index)
    return _group(reading, (name, _tracking_uid(source, reading)), finding, items)


def _image_name(source: Dataset, reading: Reading, index: int) -> str:
    if reading.study is None:
        return f"AI image {index + 1}"
    shown_as = instance_number(source)
    if shown_as is None:
        return f"AI slice, {index + 1} of {len(reading.images)} shown"
    return f"AI slice, instance {shown_as}"


def _finding(reading: Reading, image: ImageReading) -> Code | None:
    """Return what is found on an image; nothing where nothing was decided on it.

    What was decided on a study holds for the slices that it names, not for any other.
    """
    if image.decision is not None:
        return _stated(image.decision)
    if reading.study is not None:
        named = image.sop_instance_uid in reading.study.suspicious
        return _stated(reading.study.decision) if named else None
    return image.grades[0].stated.finding if image.grades else None


def _stated(decision: Decision) -> Code:
    """Return what was decided; software that reads codes must not list what was not."""
    if decision.normality is Normality.INDETERMINATE:
        return codes.normality(Normality.INDETERMINATE)
    return decision.leading.finding


def _probabilities(
    probabilities: Sequence[Probability], decision: Decision | None
) -> tuple[list[Dataset], list[Dataset]]:
    """Return probabilities in percent: that of the leading class, and those of the others.

    Viewers show the first few numbers of a group, so what decides comes first; and they show
    concept names only, so each is named after its class.
    """
    leading = None if decision is None else decision.leading.finding
    first = [_probability(each) for each in probabilities if each.finding == leading]
    return first, [_probability(each) for each in probabilities if each.finding != leading]


def _probability(value: Probability) -> Dataset:
    return _percent(codes.class_probability(value.finding, value.label), value.value)


def _decision(decision: Decision) -> list[Dataset]:
    return [
        _percent(codes.ABNORMAL_PROBABILITY, decision.abnormal_probability),
        _percent(codes.OPERATING_POINT, decision.threshold),
        coded(codes.NORMALITY, codes.normality(decision.normality)),
    ]


def _urgency(urgency: Urgency | None) -> list[Dataset]:
    if urgency is None:
        return []
    statement = text(codes.URGENCY, urgency.statement)
    if urgency.category is None:
        return [statement]
    return [coded(codes.ACTIONABLE, codes.actionable(urgency.category)), statement]


def _measurements(source: Dataset, image: ImageReading) -> list[Dataset]:
    """Return scores, grades, and how much is marked on the image."""
    items = []
    for score in image.scores:
        unit = codes.scale_unit(score.lowest, score.highest)
        items.append(number(score.name, f"{score.value:.6g}", unit))
    for grade in image.grades:
        items += _grade(grade)
    if image.regions:
        items.append(number(codes.REGIONS_MARKED, str(len(image.regions)), codes.REGIONS))
    area = image_area(source)
    for each in image.segments:
        items.append(_percent(codes.class_share(each.finding, each.label), each.share))
        if area is not None:
            name = codes.class_area(each.finding, each.label)
            items.append(_square_millimetres(name, each.share * area))
    return items


def _rank(reading: Reading, image: ImageReading) -> list[Dataset]:
    """Return which place a slice has among the most suspicious ones, if it is one."""
    named = () if reading.study is None else reading.study.suspicious
    if image.sop_instance_uid not in named:
        return []
    return [number(codes.RANK, str(named.index(image.sop_instance_uid) + 1), codes.RANKS)]


def _grade(grade: Grade) -> list[Dataset]:
    """Return the stated level as a coded evaluation, and the probability of every level."""
    return [
        coded(grade.name, grade.stated.finding),
        *(
            _percent(codes.level_probability(grade.name, level, each.label), each.value)
            for level, each in enumerate(grade.levels)
        ),
    ]


def _where(source: Dataset, reading: Reading, image: ImageReading) -> Dataset:
    """Return the point by which a viewer finds the image: where activation peaks, or the centre.

    A group without any coordinates leaves some viewers black.
    """
    down, across = 0.5, 0.5
    decision = reading.decision_on(image)
    if image.heatmap is not None and decision and decision.normality is not Normality.NORMAL:
        down, across = peak(image.heatmap) or (down, across)
    column, row = across * source.Columns, down * source.Rows
    return point(codes.SOURCE_OF_MEASUREMENT, float(column), float(row), source)


# -- regions (PS3.16 TID 1410: one region per group) --


def _region_group(
    source: Dataset, reading: Reading, region: Region, shown: int, purpose: str
) -> Dataset:
    """Return the group of one box; ``shown`` is the number that the overlay writes beside it."""
    outline = box_outline(region.left, region.top, region.right, region.bottom)
    items = [
        coded(codes.GEOMETRIC_PURPOSE, codes.BOUNDED_BY),
        _probability(region.finding),
        polyline(codes.IMAGE_REGION, outline, source),
    ]
    tracking = (f"AI finding {shown}", _tracking_uid(source, reading, purpose))
    return _group(reading, tracking, region.finding.finding, items, template="1410")


def _segment_groups(
    source: Dataset, reading: Reading, segment: Segment, purpose: str
) -> list[Dataset]:
    """Return a group for each of the largest connected parts of what a finding covers."""
    parts = mask_parts(segment.mask, int(source.Rows), int(source.Columns))
    groups = []
    for place, part in enumerate(parts, start=1):
        name = f"AI outline of {wording.in_sentence(segment.label)}"
        if len(parts) > 1:
            name += f", part {place}"
        tracking = (name, _tracking_uid(source, reading, f"{purpose}.{place}"))
        items = _outline_items(source, part.outline, part.share * segment.share)
        groups.append(_group(reading, tracking, segment.finding, items, template="1410"))
    return groups


def _outline_items(source: Dataset, outline: Polyline, share: float) -> list[Dataset]:
    """Return an outline and its area: in mm2 if the image is calibrated, else as a share of it."""
    area = image_area(source)
    return [
        coded(codes.GEOMETRIC_PURPOSE, codes.OUTLINE),
        _percent(codes.COVERED_SHARE, share)
        if area is None
        else _square_millimetres(codes.AREA, share * area),
        polyline(codes.IMAGE_REGION, outline, source),
    ]


def _activation_groups(
    source: Dataset, reading: Reading, image: ImageReading, numbers: Iterator[int]
) -> list[Dataset]:
    """Return a group for each of the largest strong activations on an image that bears a finding.

    They say where the model looked, not how far disease extends, so they have no area.
    """
    finding = _finding(reading, image)
    if finding is None or image.heatmap is None or not shows_heatmap(reading, image):
        return []
    groups = []
    outlines = contours(image.heatmap, int(source.Rows), int(source.Columns))
    for place, (outline, shown) in enumerate(zip(outlines, numbers, strict=False), start=1):
        items = [
            # No geometric purpose: those of CID 219 would make it an outline of the finding.
            coded(codes.VISUAL_EXPLANATION, codes.CLASS_ACTIVATION),
            _percent(codes.ACTIVATION_FROM, CONTOUR_AT),
            polyline(codes.IMAGE_REGION, outline, source),
        ]
        tracking = (
            f"AI activation {shown}",
            _tracking_uid(source, reading, f"activation {place}"),
        )
        groups.append(_group(reading, tracking, finding, items, template="1410"))
    return groups


def _percent(name: Code, share: float) -> Dataset:
    return number(name, wording.percent_value(share), codes.PERCENT)


def _square_millimetres(name: Code, area: float) -> Dataset:
    return number(name, f"{area:.6g}", codes.SQUARE_MILLIMETRE)

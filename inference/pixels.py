"""DICOM pixels to what a radiologist sees, and from there to what a model takes.

``displayed`` applies the modality LUT, the VOI LUT or window, and MONOCHROME1 (PS3.3 C.11.1,
C.11.2, C.7.6.3.1.2), so that white is dense whatever the detector stored; padding is black
(C.7.5.1.1.2). ``prepare`` resizes and normalises that picture. A PNG exported from the displayed
picture gives the same model input as the DICOM file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi

from inference.crop import Box
from inference.errors import PixelError
from sr.reasons import Reason

Window = tuple[float, float]
"""Centre and width, in units of the modality LUT."""

_LINEAR, _LINEAR_EXACT, _SIGMOID = "LINEAR", "LINEAR_EXACT", "SIGMOID"
_RESCALE = {
    "RescaleSlope": "Rescale Slope (0028,1053)",
    "RescaleIntercept": "Rescale Intercept (0028,1052)",
}


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """How a displayed picture becomes a model's input tensor; the manifest's ``[prepare]``.

    Attributes
    ----------
    rows, columns
        Size of the tensor, pixels.
    channels
        1 or 3; three channels repeat the grey picture.
    window
        Centre and width, in units of the modality LUT (Hounsfield units for CT), in which the
        picture is shown to the model; None for the picture as displayed.
    crop
        ``"head"``: only the square around the head (``inference.crop``) goes into the tensor.
    low_percentile, high_percentile
        Without a ``window``: the grey values at these percentiles (0..100) of the resized picture
        become 0 and 1; values outside are clipped.
    mean, std
        The tensor is ``(grey - mean) / std`` with grey in 0..1.
    """

    rows: int
    columns: int
    channels: Literal[1, 3] = 3
    window: Window | None = None
    crop: Literal["none", "head"] = "none"
    low_percentile: float = 1.0
    high_percentile: float = 99.0
    mean: float = 0.5
    std: float = 0.5


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where the picture lies in the tensor after the aspect-preserving resize, pixels."""

    top: int
    left: int
    height: int
    width: int


def placement(rows: int, columns: int, preparation: Preparation) -> Placement:
    """Fit a picture of ``rows`` x ``columns`` into the tensor, centred, keeping its aspect."""
    scale = min(preparation.rows / rows, preparation.columns / columns)
    height = max(1, min(preparation.rows, round(rows * scale)))
    width = max(1, min(preparation.columns, round(columns * scale)))
    return Placement(
        top=(preparation.rows - height) // 2,
        left=(preparation.columns - width) // 2,
        height=height,
        width=width,
    )


def prepare(
    picture: NDArray[np.uint8], preparation: Preparation, box: Box | None = None
) -> NDArray[np.float32]:
    """Resize and normalise a displayed picture.

    Parameters
    ----------
    picture
        Grey picture, shape (rows, columns), white is dense.
    preparation
        The model's manifest entry.
    box
        The part that goes into the tensor, black beyond the picture; None for all of it.

    Returns
    -------
    NDArray[np.float32]
        Shape (channels, rows, columns). The margin that the aspect leaves holds black.
    """
    image = Image.fromarray(picture)
    if box is not None:
        image = image.crop((box.left, box.top, box.right, box.bottom))
    place = placement(image.height, image.width, preparation)
    small = np.asarray(
        image.resize((place.width, place.height), Image.Resampling.BILINEAR, reducing_gap=2.0),
        dtype=np.float32,
    )
    grey = _stretched(small, preparation)
    tensor = np.zeros((preparation.rows, preparation.columns), np.float32)
    tensor[place.top : place.top + place.height, place.left : place.left + place.width] = grey
    tensor = (tensor - preparation.mean) / preparation.std
    return np.repeat(tensor[np.newaxis], preparation.channels, axis=0)


def _stretched(small: NDArray[np.float32], preparation: Preparation) -> NDArray[np.float32]:
    """Map grey 0..255 to 0..1: as it is within a window, else between the percentiles."""
    if preparation.window is not None:
        return np.asarray(small / 255.0, dtype=np.float32)
    low, high = np.percentile(small, [preparation.low_percentile, preparation.high_percentile])
    grey = np.clip((small - low) / max(float(high - low), 1.0), 0.0, 1.0)
    return np.asarray(grey, dtype=np.float32)


def displayed(dataset: Dataset, window: Window | None = None) -> NDArray[np.uint8]:
    """Return the picture a viewer shows for a single-frame greyscale image.

    Parameters
    ----------
    dataset
        A data set with file meta information and Pixel Data.
    window
        Centre and width in units of the modality LUT, to be used instead of the file's own VOI
        LUT or window; for CT these are Hounsfield units.

    Returns
    -------
    NDArray[np.uint8]
        Shape (Rows, Columns), 0 black to 255 white; MONOCHROME1 is inverted.

    Raises
    ------
    PixelError
        There is no Pixel Data, it cannot be decoded, it is colour or multi-frame, or a LUT,
        rescale or window is malformed; or a ``window`` is given for a CT image whose values are
        no Hounsfield units.
    """
    if window is not None:
        _require_hounsfield(dataset)
    stored = _stored_values(dataset)
    padding = _padding(dataset, stored.dtype)
    valid = stored if padding is None else stored[(stored < padding[0]) | (stored > padding[1])]
    if not valid.size:
        return np.zeros(stored.shape, np.uint8)
    lowest, highest = int(valid.min()), int(valid.max())
    with _malformed_is_an_error():
        shades = _display_table(dataset, lowest, highest, window)
    # Indexed by the stored bit pattern: signed values wrap, and no pixel is converted first.
    bits = stored.view(f"u{stored.itemsize}")
    table: NDArray[np.uint8] = np.zeros(1 << 8 * stored.itemsize, np.uint8)
    table[np.arange(lowest, highest + 1) % len(table)] = shades
    if padding is not None:
        table[np.arange(padding[0], padding[1] + 1) % len(table)] = 0
    return np.asarray(table[bits])


def mean_displayed(datasets: Sequence[Dataset], window: Window) -> NDArray[np.uint8]:
    """Return the picture of the mean of several slices, as one thicker slice would show it.

    Parameters
    ----------
    datasets
        Slices of one size; at least one.
    window
        As for ``displayed``.

    Raises
    ------
    PixelError
        As for ``displayed``, or the slices differ in size.
    """
    if len(datasets) == 1:
        return displayed(datasets[0], window)
    total = _modality_values(datasets[0])
    for each in datasets[1:]:
        values = _modality_values(each)
        if values.shape != total.shape:
            raise PixelError("the slices of one series have different matrix sizes")
        total += values
    grey = _linear(total / len(datasets), window)
    if datasets[0].PhotometricInterpretation == "MONOCHROME1":
        grey = 1.0 - grey
    return np.rint(grey * 255.0).astype(np.uint8)


def hounsfield_problem(header: Dataset) -> Reason | None:
    """Why the values of a CT image are no Hounsfield units, None if they are or it is no CT.

    Rescale Slope and Intercept are required of CT (PS3.3 C.8.2.1); without them the stored values
    mean nothing.
    """
    if str(header.get("Modality") or "").upper() != "CT":
        return None
    for keyword, name in _RESCALE.items():
        if _first(header.get(keyword)) is None:
            return Reason("the CT slices have no {name}", name=name)
    if float(header.RescaleSlope) == 0:
        return Reason("the CT slices have a Rescale Slope (0028,1053) of 0")
    if str(header.get("RescaleType") or "").strip().upper() not in _HOUNSFIELD:
        return Reason("the values of the CT slices are no Hounsfield units")
    return None


# Rescale Type (0028,1054), PS3.3 C.11.1.1.2. US is "unspecified": converters write it beside
# Hounsfield units. What is left are maps, such as ED (electron density) or Z_EFF.
_HOUNSFIELD = frozenset(["", "HU", "HU_MOD", "US"])


def _require_hounsfield(dataset: Dataset) -> None:
    with _malformed_is_an_error():
        problem = hounsfield_problem(dataset)
    if problem:
        raise PixelError(problem)


@contextmanager
def _malformed_is_an_error() -> Iterator[None]:
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            yield
    except Exception as error:  # elements are parsed here, and may hold anything
        kind = type(error).__name__
        raise PixelError("LUT, rescale or window is malformed ({kind})", kind=kind) from error


def _modality_values(dataset: Dataset) -> NDArray[np.float64]:
    """Pixels in units of the modality LUT, shape (Rows, Columns); padding is as low as any."""
    _require_hounsfield(dataset)
    stored = _stored_values(dataset)
    padding = _padding(dataset, stored.dtype)
    with _malformed_is_an_error():
        values = _modality(dataset, stored.astype(np.int32))
    if padding is not None:
        values[(stored >= padding[0]) & (stored <= padding[1])] = values.min()
    return values


def _padding(dataset: Dataset, stored: np.dtype[Any]) -> tuple[int, int] | None:
    """Lowest and highest stored value that mark pixels outside the image (PS3.3 C.7.5.1.1.2).

    Compared by their bits, because writers confuse the signed and the unsigned form.
    """
    ends = [dataset.get(each) for each in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    try:
        bits = [int(each) for each in ends if each is not None and each != ""]
    except (ValueError, TypeError) as error:
        raise PixelError("Pixel Padding Value (0028,0120) is not a number") from error
    if ends[0] is None or not bits:
        return None
    values = [int(np.array(each % (1 << 8 * stored.itemsize)).astype(stored)) for each in bits]
    return min(values), max(values)


def _stored_values(dataset: Dataset) -> NDArray[np.integer]:
    if "PixelData" not in dataset:
        raise PixelError("the image has no Pixel Data (7FE0,0010)")
    photometric = str(dataset.get("PhotometricInterpretation", ""))
    if photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise PixelError(
            "photometric interpretation {found} is not greyscale", found=photometric or "missing"
        )
    try:
        frames = int(dataset.get("NumberOfFrames") or 1)
    except (ValueError, TypeError) as error:
        raise PixelError("Number of Frames (0028,0008) is not a number") from error
    if frames != 1:
        raise PixelError("the image has {frames} frames, one is expected", frames=frames)
    try:
        stored = dataset.pixel_array
    except Exception as error:  # decoders raise whatever they like on bad bytes
        kind = type(error).__name__
        raise PixelError("pixels cannot be decoded ({kind})", kind=kind) from error
    if stored.ndim != 2 or stored.dtype.kind not in "iu" or stored.itemsize > 2:
        raise PixelError(
            "pixels have shape {shape}, type {type}; not supported",
            shape=stored.shape,
            type=stored.dtype,
        )
    return np.ascontiguousarray(stored, dtype=stored.dtype.newbyteorder("="))


def _display_table(
    dataset: Dataset, lowest: int, highest: int, window: Window | None
) -> NDArray[np.uint8]:
    """Tabulate the displayed grey of each stored value from ``lowest`` to ``highest``.

    The LUTs run over at most 65,536 values instead of millions of pixels.
    """
    modality = _modality(dataset, np.arange(lowest, highest + 1, dtype=np.int32))
    grey = _voi(dataset, modality) if window is None else _linear(modality, window)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        grey = 1.0 - grey
    if not np.isfinite(grey).all():
        raise ValueError("not a finite number")
    return np.rint(grey * 255.0).astype(np.uint8)


def _modality(dataset: Dataset, values: NDArray[np.int32]) -> NDArray[np.float64]:
    """Apply the modality LUT or rescale to stored values of any shape."""
    if "ModalityLUTSequence" in dataset:
        # pydicom maps values below the first entry by the array's type, so keep it signed.
        return np.asarray(apply_modality_lut(values, dataset), dtype=np.float64)
    slope = float(dataset.get("RescaleSlope") or 1.0)
    intercept = float(dataset.get("RescaleIntercept") or 0.0)
    return values.astype(np.float64) * slope + intercept


def _voi(dataset: Dataset, modality: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map modality values to grey 0..1 by the VOI LUT, else the window, else their range."""
    if dataset.get("VOILUTSequence"):
        bits = int(dataset.VOILUTSequence[0].LUTDescriptor[2])
        voi = np.asarray(apply_voi(np.rint(modality).astype(np.int32), dataset), dtype=np.float64)
        return np.clip(voi / (2.0**bits - 1.0), 0.0, 1.0)
    width, centre = _first(dataset.get("WindowWidth")), _first(dataset.get("WindowCenter"))
    function = str(dataset.get("VOILUTFunction") or _LINEAR)
    least = 0.0 if function in (_SIGMOID, _LINEAR_EXACT) else 1.0
    if width is None or centre is None or width < least or width == 0:
        span = float(modality.max() - modality.min()) or 1.0
        return np.asarray((modality - modality.min()) / span)
    if function == _SIGMOID:  # PS3.3 C.11.2.1.3.1
        return np.asarray(1.0 / (1.0 + np.exp(-4.0 * (modality - centre) / width)))
    if function == _LINEAR_EXACT:  # PS3.3 C.11.2.1.3.2
        return np.clip((modality - centre) / width + 0.5, 0.0, 1.0)
    return _linear(modality, (centre, width))


def _linear(modality: NDArray[np.float64], window: Window) -> NDArray[np.float64]:
    """Map modality values to grey 0..1 by a window, PS3.3 C.11.2.1.2.1."""
    centre, width = window
    if width == 1:
        return np.asarray(modality > centre - 0.5, dtype=np.float64)
    return np.clip((modality - (centre - 0.5)) / (width - 1.0) + 0.5, 0.0, 1.0)


def _first(value: object) -> float | None:
    """First of a possibly multi-valued, possibly empty decimal string."""
    if value is None or value == "":
        return None
    if isinstance(value, str | float | int):
        return float(value)
    values = list(value)  # type: ignore[call-overload]
    return float(values[0]) if values else None

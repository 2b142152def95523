"""One series of slices as a model sees it: decoded, windowed, resampled and turned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from inference.errors import PixelError
from inference.geometry import Turn, Unfit, cuts, stack_of
from inference.pixels import Window, mean_displayed


@dataclass(frozen=True, kw_only=True)
class Volume:
    """Slices at the model's spacing, caudal to cranial.

    Attributes
    ----------
    uids
        SOP Instance UID of the source that each slice is nearest to; a source may stand for two.
    pictures
        In the model's window, shape (rows, columns) each; the patient's right at the left edge
        and the front at the upper.
    turn
        How the stored pictures were turned for that.
    sources
        How many source images the slices are made of.
    """

    uids: tuple[str, ...]
    pictures: tuple[NDArray[np.uint8], ...]
    turn: Turn
    sources: int


def volume_of(sources: Sequence[Dataset], spacing: float | None, window: Window) -> Volume:
    """Decode a series.

    Parameters
    ----------
    sources
        All slices of one series with Pixel Data, in any order.
    spacing
        Distance of neighbours that the model was trained at, mm; None takes any.
    window
        Centre and width, Hounsfield units for CT.

    Raises
    ------
    PixelError
        The slices are no stack (see ``inference.geometry``), or one cannot be decoded.
    """
    try:
        stack = stack_of(sources)
        laid = cuts(stack, spacing)
    except Unfit as unfit:
        raise PixelError(unfit.reason) from unfit
    except (ValueError, TypeError, AttributeError) as error:  # elements are parsed on access
        kind = type(error).__name__
        raise PixelError("a header element is malformed ({kind})", kind=kind) from error
    ordered = [sources[i] for i in stack.order]
    # No threads: the decoders hold the interpreter's lock.
    pictures = {
        members: stack.turn.apply(mean_displayed([ordered[i] for i in members], window))
        for members in dict.fromkeys(each.members for each in laid)
    }
    return Volume(
        uids=tuple(str(ordered[each.nearest].SOPInstanceUID) for each in laid),
        pictures=tuple(pictures[each.members] for each in laid),
        turn=stack.turn,
        sources=len(sources),
    )

"""Reconstruction kernels of CT: which show soft tissue and which are made for bone and lung.

Convolution Kernel (0018,1210) is a name of the vendor's choosing, so this is a table of vendors'
habits. The names of different vendors do not collide, so the vendor is not asked.
"""

from __future__ import annotations

import re
from enum import Enum


class Kernel(Enum):
    """What a kernel is made for; the value is its rank for a model of soft tissue."""

    SOFT = 0
    UNKNOWN = 1
    SHARP = 2


_TABLE: tuple[tuple[re.Pattern[str], Kernel], ...] = tuple(
    (re.compile(pattern), kernel)
    for pattern, kernel in [
        # GE: BONE, BONE+, BONEPLUS, EDGE, LUNG, DETAIL, ULTRA; United Imaging: B_SHARP_C
        (r"BONE|EDGE|LUNG|DETAIL|ULTRA|SHARP", Kernel.SHARP),
        # GE: STANDARD, STD, STD+, STND, SOFT; United Imaging: H_SOFT_B
        (r"STANDARD|STAND|STND|STD|SOFT|SMOOTH", Kernel.SOFT),
        # Siemens: a letter or two for the region, then sharpness 10 to 99: H31s, J40s, Hr38, B60f
        (r"^[BDHIJQSTU][A-Z]?[1-4]\d[A-Z]?\b", Kernel.SOFT),
        (r"^[BDHIJQSTU][A-Z]?[5-9]\d[A-Z]?\b", Kernel.SHARP),
        # Philips: brain UA and UB, body A and B; C and D sharp, E and Y ultra sharp, L lung
        (r"^U?[AB]$", Kernel.SOFT),
        (r"^(?:[CDEL]|E[BC]|Y[BCD])$", Kernel.SHARP),
    ]
)
# Canon, Toshiba: FC and a number
_CANON = re.compile(r"^FC(\d\d)")
_CANON_SOFT = (range(1, 28), range(41, 45), range(62, 69))  # body, brain with and without BHC
_CANON_SHARP = (range(30, 40), range(50, 60), range(80, 100))  # inner ear and bone, lung


def kernel_of(name: str) -> Kernel:
    """Tell what a kernel is made for.

    Parameters
    ----------
    name
        The first value of Convolution Kernel (0018,1210); empty where it is not stated.
    """
    written = name.strip().upper()
    if canon := _CANON.match(written):
        return _canon(int(canon[1]))
    for pattern, kernel in _TABLE:
        if pattern.search(written):
            return kernel
    return Kernel.UNKNOWN


def _canon(number: int) -> Kernel:
    if any(number in each for each in _CANON_SOFT):
        return Kernel.SOFT
    if any(number in each for each in _CANON_SHARP):
        return Kernel.SHARP
    return Kernel.UNKNOWN

"""A synthetic chest radiograph and head CT with honest headers: for demo, tests and load."""

from wetread.phantom.head_study import HeadOptions, head_study
from wetread.phantom.opacity import Finding, Opacity
from wetread.phantom.study import StudyOptions, chest_study, write_study

__all__ = [
    "Finding",
    "HeadOptions",
    "Opacity",
    "StudyOptions",
    "chest_study",
    "head_study",
    "write_study",
]

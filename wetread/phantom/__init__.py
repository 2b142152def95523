"""A synthetic chest radiograph with an honest header: the sample study of demo, tests and bench."""

from wetread.phantom.opacity import Finding, Opacity
from wetread.phantom.study import StudyOptions, chest_study, write_study

__all__ = ["Finding", "Opacity", "StudyOptions", "chest_study", "write_study"]

"""What can go wrong while a study is read, and whether trying again could help.

::

    ReadingError            base; ``retryable`` says whether a retry could help
    |-- ManifestError       a model package is not usable
    |-- ArchiveError        the archive does not answer; the file may well be there
    |-- PixelError          an image's pixels cannot be turned into model input
    `-- ModelError          the runtime failed on a model
"""

from sr.reasons import Reason


class ReadingError(Exception):
    """A study could not be read.

    Attributes
    ----------
    retryable
        True if the same job may succeed later without any change to its input.
    """

    retryable = False


class ManifestError(ReadingError):
    """A model package is missing something, contradicts itself or was altered."""


class ArchiveError(ReadingError):
    """The archive does not answer: a network folder is away, or the disk has errors."""

    retryable = True


class PixelError(ReadingError):
    """An image has no pixels, or pixels that cannot be decoded or prepared.

    Attributes
    ----------
    reason
        Why, without patient data.
    """

    def __init__(self, template: str, **values: object) -> None:
        self.reason = Reason.of(template, **values)
        super().__init__(str(self.reason))


class ModelError(ReadingError):
    """The runtime failed on a model; memory may be short, so a retry can help."""

    retryable = True

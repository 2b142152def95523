"""What can go wrong while a model is trained or judged.

::

    TrainingError           base; the message names what is wrong and where
    |-- RecipeError         the recipe cannot be followed
    |-- CollectionError     the images or their list cannot be used
    |-- WeightsError        the backbone's file does not hold this network
    |-- CalibrationError    validation cannot carry the choice
    |-- EvaluationError     a figure is not defined on these images
    `-- ExportError         the exported graph is not valid or computes something else
"""


class TrainingError(Exception):
    """Training or judging cannot go on."""


class RecipeError(TrainingError):
    """The recipe cannot be followed; the message names the file, the key and what is wrong."""


class CollectionError(TrainingError):
    """The collection cannot be used; the message says which file or column, and why."""


class WeightsError(TrainingError):
    """The weights file does not hold this network; the message says where it differs."""


class CalibrationError(TrainingError):
    """The validation data cannot carry the choice, e.g. it holds no abnormal image."""


class EvaluationError(TrainingError):
    """A figure is not defined on these images, e.g. the area under the curve of one class."""


class ExportError(TrainingError):
    """The exported graph is invalid or does not compute what the network computes."""

"""MobileNetV2 without its classifier, with ImageNet weights from an ``.npz`` file (needs torch).

Batch normalisation is already folded into the convolutions, and strides of 2 pad like TensorFlow's
``SAME``. Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", table 2.
"""

from __future__ import annotations

import json
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from training.errors import WeightsError

FEATURES = 1280
# Expansion, output channels, blocks, stride of the first block.
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class Convolution(nn.Conv2d):
    """A convolution with TensorFlow's ``SAME`` padding and, if wanted, a ReLU6 behind it.

    TensorFlow pads an even size at stride 2 only below and to the right, which torch cannot say.
    """

    def __init__(
        self,
        incoming: int,
        outgoing: int,
        kernel: int,
        *,
        stride: int = 1,
        groups: int = 1,
        relu6: bool = True,
    ) -> None:
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(incoming, outgoing, kernel, stride, padding, groups=groups)
        self.relu6 = relu6

    def forward(self, image: Tensor) -> Tensor:
        """Convolve (images, channels, rows, columns); rows and columns even at stride 2."""
        if self.stride[0] == 2:
            image = functional.pad(image, (0, 1, 0, 1))
        result = super().forward(image)
        return functional.relu6(result) if self.relu6 else result


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project back; add the input where the shapes agree."""

    def __init__(self, incoming: int, outgoing: int, expansion: int, stride: int) -> None:
        super().__init__()
        wide = incoming * expansion
        layers = [Convolution(incoming, wide, 1)] if expansion > 1 else []
        layers.append(Convolution(wide, wide, 3, stride=stride, groups=wide))
        layers.append(Convolution(wide, outgoing, 1, relu6=False))
        self.layers = nn.Sequential(*layers)
        self.adds = stride == 1 and incoming == outgoing

    def forward(self, image: Tensor) -> Tensor:
        """Run the block."""
        result = self.layers(image)
        return image + result if self.adds else result


class MobileNetV2(nn.Sequential):
    """(images, 3, 224, 224) in -1..1 to a feature map (images, 1280, 7, 7)."""

    def __init__(self) -> None:
        blocks: list[nn.Module] = [Convolution(3, 32, 3, stride=2)]
        channels = 32
        for expansion, outgoing, count, stride in _STAGES:
            for index in range(count):
                first = stride if index == 0 else 1
                blocks.append(InvertedResidual(channels, outgoing, expansion, first))
                channels = outgoing
        blocks.append(Convolution(channels, FEATURES, 1))
        super().__init__(*blocks)


def load(path: Path) -> MobileNetV2:
    """Build the network with the weights of an ``.npz`` file.

    Parameters
    ----------
    path
        Holds one weight and one bias array per convolution, named in order of execution by the
        JSON text ``__meta__``; a classifier behind the features is ignored.

    Raises
    ------
    WeightsError
        The file cannot be read as such, or it holds fewer convolutions than this network has, or
        one of another shape.
    """
    network = MobileNetV2()
    convolutions = [module for module in network.modules() if isinstance(module, Convolution)]
    try:
        with np.load(path, allow_pickle=False) as arrays:
            graph = json.loads(bytes(arrays["__meta__"]))["graph"]
            steps = [step for step in graph if step["op"] == "conv" and not step.get("head")]
            if len(steps) != len(convolutions):
                raise WeightsError(
                    f"{path}: {len(steps)} convolutions, MobileNetV2 has {len(convolutions)}"
                )
            for step, convolution in zip(steps, convolutions, strict=True):
                _fill(convolution.weight, arrays[step["w"]], step["w"])
                _fill(convolution.bias, arrays[step["b"]], step["b"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, BadZipFile) as error:
        raise WeightsError(
            f"{path}: cannot be read as the backbone's weights ({type(error).__name__})"
        ) from error
    return network


def _fill(parameter: Tensor | None, values: np.ndarray, name: str) -> None:
    if parameter is None or tuple(parameter.shape) != values.shape:
        raise WeightsError(f"array {name} has shape {values.shape}, which does not fit its layer")
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(np.array(values, dtype=np.float32)))

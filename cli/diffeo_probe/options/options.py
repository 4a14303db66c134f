"""Options that several commands share, and what they become."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from diffeo_probe import terminal
from resnet_diffeo_probe.errors import ConfigurationError

if TYPE_CHECKING:
    from resnet_diffeo_probe.analysis.comparing.thresholds import Threshold
    from resnet_diffeo_probe.inputs import Preprocessing
    from resnet_diffeo_probe.models import LoadedModel

__all__ = [
    "GATES",
    "PATH",
    "Numbers",
    "Size",
    "Words",
    "model_options",
    "preprocessing_of",
    "preprocessing_options",
    "result_file",
    "thresholds_of",
]

#: What `--fail-on` takes: the rules of `analysis.gate`, which is not imported for a page of help.
GATES = ("never", "error", "violation", "uncertified")

#: A file or folder that a shell completes; what is wrong with it is said by whoever opens it.
PATH = click.Path(readable=False)

Command = TypeVar("Command", bound=Callable[..., Any])


class Numbers(click.ParamType[tuple[float, ...]]):
    """Comma-separated numbers."""

    name = "a,b,c"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        """Return a tuple of floats."""
        if isinstance(value, tuple):
            return value
        try:
            parts = value if isinstance(value, list) else str(value).split(",")
            return tuple(float(part) for part in parts)
        except (TypeError, ValueError):
            self.fail(f"'{value}' is not a list of numbers such as 0.485,0.456,0.406", param, ctx)


class Size(click.ParamType[int | tuple[int, int]]):
    """N, or HEIGHTxWIDTH."""

    name = "N|HxW"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | tuple[int, int]:
        """Return a number of pixels or (height, width)."""
        if isinstance(value, tuple):
            return value
        parts = value if isinstance(value, list) else str(value).lower().replace("×", "x").split("x")
        try:
            sides = [int(part) for part in parts]
        except (TypeError, ValueError):
            sides = []
        if len(sides) not in (1, 2) or min(sides) < 1:
            self.fail(f"'{value}' is not a size such as 32 or 224x192", param, ctx)
        return sides[0] if len(sides) == 1 else (sides[0], sides[1])


class Words(click.ParamType[str]):
    """Comma-separated words; a list in a file."""

    name = "a,b,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the words with commas between them."""
        words = value if isinstance(value, list) else [value]
        if not all(isinstance(word, str) for word in words):
            self.fail(f"{value!r} is not a list of words such as sign,logabsdet", param, ctx)
        return ",".join(words)


def result_file(given: str) -> Path:
    """Return the result.json that was given, or that lies in the folder that was given."""
    path = Path(given).expanduser()
    return path / "result.json" if path.is_dir() else path


def thresholds_of(file: str | None) -> tuple[Threshold, ...]:
    """Return the limits of a thresholds file, or the defaults.

    Raises:
        ConfigurationError: the file cannot be used; the message names the key and the line.
    """
    from resnet_diffeo_probe.analysis.comparing.thresholds import default_thresholds, read_thresholds

    return default_thresholds() if file is None else read_thresholds(file)


def model_options(command: Command) -> Command:
    """Add the options that say what a model file is."""
    for option in reversed(
        (
            click.option(
                "--arch", help="A torchvision name, cifar_resnet20 and the like, or package.module:factory."
            ),
            click.option(
                "--trust-pickle", is_flag=True, help="Let the file run the Python code it may hold."
            ),
        )
    ):
        command = option(command)
    return command


def preprocessing_options(command: Command) -> Command:
    """Add the options that say how images become inputs."""
    for option in reversed(
        (
            click.option(
                "--preset",
                help="A data set's published statistics: cifar10, cifar100, imagenet, mnist, none.",
            ),
            click.option("--mean", type=Numbers(), help="Mean of each channel, pixels from 0 to 1."),
            click.option("--std", type=Numbers(), help="Standard deviation of each channel."),
            click.option("--size", type=Size(), help="Resize and crop images to this size."),
        )
    ):
        command = option(command)
    return command


def preprocessing_of(
    model: LoadedModel,
    preset: str | None,
    mean: tuple[float, ...] | None,
    std: tuple[float, ...] | None,
    size: int | tuple[int, int] | None,
    *,
    images: bool,
) -> Preprocessing:
    """Return the preprocessing that the options ask for, or the usual one of the architecture.

    Raises:
        ConfigurationError: only one of mean and standard deviation is given, or they come with a preset.
    """
    from dataclasses import replace

    from resnet_diffeo_probe.inputs import Preprocessing

    if (mean is None) != (std is None):
        given, missing = ("--mean", "--std") if std is None else ("--std", "--mean")
        raise ConfigurationError(
            f"{given} is given without {missing}", fix="give both, or a --preset", code="preprocessing"
        )
    if mean is not None and std is not None:
        if preset is not None:
            raise ConfigurationError(
                "--mean and --std are given together with --preset",
                fix="leave one of the two out",
                code="preprocessing",
            )
        return Preprocessing(mean=mean, std=std, size=size)
    chosen = preset or _usual_preset(model)
    if preset is None and images:
        terminal.hint(
            f"no preprocessing was given: using --preset {chosen}, the usual one of {model.architecture}. "
            "The measures depend on it: it should be the one that the model was trained with."
        )
    found = Preprocessing.from_preset(chosen)
    if size is not None:
        found = replace(found, size=size, resize=None)
    return found


def _usual_preset(model: LoadedModel) -> str:
    shape = model.input_shape
    if shape is None or shape[0] != 3:
        return "none"
    return "cifar10" if shape[1] == 32 else "imagenet"

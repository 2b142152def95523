"""``CARD.md``: the recipe's words and the figures that were measured."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from training.recipe import Recipe
from training.tables import interval, markdown, tables

_TEXT = """\
# {name} {version}: {title}

**Research and demonstration only. Not a medical device. Not for diagnosis.**

## Intended use
{purpose}

## What it computes
{method}

## Data
{data}
{images}
The images are not part of this package.

## Figures
{intro}

{figures}

## At the operating point
The threshold {threshold:.4f} on the probability of "abnormal" was {chosen}; calling a normal study
abnormal is the lesser harm. {band}

## Known confounders
{confounders}

## What must not be concluded
{not_concluded}

## Made by
`wetread train recipe.toml`, `wetread evaluate --card`, {date}; seed {seed}. `recipe.toml` and
`training.json` lie beside this card.
"""
_INTRO = """\
Area under the ROC curve (AUC) and rates with 95 % interval (bootstrap by patient). The baselines
know nothing of the finding: a logistic regression on 16 x 16 thumbnails{others}. Where one does as
well as the model, the model has not shown that it looks at the finding."""
_HELD_OUT = """\
Every figure comes from cross-validation: each study was scored by a network that had not seen its
patient. The network in the package was then trained on all of them in the same way."""


def card(recipe: Recipe, figures: dict[str, Any]) -> str:
    """Return the card as Markdown.

    Parameters
    ----------
    recipe
        For its ``[card]`` and names.
    figures
        From ``training.judge``.
    """
    package, words = recipe.package, recipe.card
    others = [name for name in figures["baselines"] if not name.startswith("thumbnail")]
    intro = _INTRO.format(others="".join(f", {name} alone" for name in others))
    if figures.get("held_out"):
        intro = f"{_HELD_OUT}\n{intro}"
    return _TEXT.format(
        name=package.name,
        version=package.version,
        title=package.title,
        purpose=words.purpose.strip(),
        method=words.method.strip(),
        data=words.data.strip(),
        images=_images(figures["images"]),
        intro=intro,
        figures="\n\n".join(f"### {each.title}\n{markdown(each)}" for each in tables(figures)),
        threshold=figures["threshold"],
        chosen=figures["chosen"],
        band=_band(figures),
        confounders=words.confounders.strip(),
        not_concluded=words.not_concluded.strip(),
        date=datetime.now(UTC).date().isoformat(),
        seed=recipe.fit.seed,
    )


def _images(images: dict[str, int]) -> str:
    if not images:
        return ""
    shares = ", ".join(f"{count} in {part}" for part, count in images.items())
    return f"\nImages: {shares}; no patient lies in two of them.\n"


def _band(figures: dict[str, Any]) -> str:
    reached = f"Sensitivity {interval(figures['sensitivity'])} was reached on what is judged here"
    band = figures.get("band")
    if not band:
        return f"{reached}."
    return (
        f'Between {band[0]:.4f} and {band[1]:.4f} the answer is "indeterminate". {reached}, '
        "counting every image at or above the threshold."
    )

"""The card of the ``cxr-covid`` package, ``CARD.md``, with the figures that were measured."""

from __future__ import annotations

from collections.abc import Mapping

from training.calibrate import OperatingPoint
from training.chest_manifest import VERSION
from training.evaluate import Figure

_AREAS = (
    ("abnormal", "Abnormal against normal, test split"),
    ("abnormal_pa", "- of these, PA view only"),
    ("abnormal_ap", "- of these, AP view only (AP supine not counted)"),
    ("nih_pneumonia", "Pneumonia against normal, NIH only (labels from report text)"),
    ("covid", "COVID-19 against the rest, test split"),
    ("covid_one_source", "COVID-19 against the rest, **inside the one source that has it**"),
    ("adjudicated", '**Opacity against normal as experts read them, NIH "Pneumonia" folder**'),
    ("children", "Pneumonia against normal in children (out of population)"),
)
_RATES = (
    ("abnormal", "Abnormal, test: sensitivity"),
    ("pneumonia", "- pneumonia"),
    ("opacity_by_experts", "- lung opacity by expert readers"),
    ("covid", "- COVID-19"),
    ("normal", "Normal, test: false positives"),
    ("openist", "**Normal adults of another hospital (OpenIST): false positives**"),
    ("children_normal", "Children, normal: false positives"),
    ("children_pneumonia", "Children, pneumonia: sensitivity"),
)

_TEXT = """\
# cxr-covid {version}: chest radiograph screening

**Research and demonstration only. Not a medical device. Not for diagnosis.** It shows that the node
works from the modality to the PACS with a real network and real images. It is not good enough to
help a patient, and the figures below say so.

## Intended use
Screens frontal chest radiographs (CR, DX; PA or AP) of adults for abnormality, and names the
likelier of pneumonia and COVID-19, in research and demonstrations. A physician decides.
Not for children, lateral views, follow-up, triage of real patients, or ruling anything out.

## What it computes
MobileNetV2 (ImageNet weights, Apache-2.0) with a linear head, fine-tuned. Input: 224 x 224, the
picture's aspect kept, grey stretched between its 1st and 99th percentile. `probability`: softmax of
the logits divided by the temperature {temperature}, which was fitted on the validation split.
`activation`: for each class the class activation map of that class against the mean of the
classes, negative parts cut off, divided by its maximum (or, where the maximum is weak, by the
median strength of true findings on validation, so that a map without evidence stays faint). It
shows what the network used, not where a disease is.

## Data
- **NIH ChestX-ray14**, a subset: normal and pneumonia by report text, partly read by RSNA experts.
  Free to use, NIH Clinical Center to be cited.
- **ieee8023 covid-chestxray-dataset**: COVID-19, other pneumonia, a few normal. Licence per image:
  CC BY, **CC BY-NC-SA, CC BY-NC-ND**; about 40 % are publication figures with **none stated**.
- **OpenIST** (external, never trained on): normal adults. Licence: **none stated**.
- **Kermany et al.** (external, never trained on): children. CC BY 4.0.

{train_n} images for training, {val_n} for validation, {test_n} for test; no patient lies in two
of them. Images whose text label expert readers contradict were left out. The remaining text labels
that nobody checked were softened by how often experts found the opposite ({wrong_normal} of "no
finding", {wrong_pneumonia} of "pneumonia"). Test labels were not softened: the unchecked NIH ones
are themselves wrong about that often.

## How well it separates
Area under the ROC curve with 95 % interval (bootstrap by patient). The baseline is a logistic
regression on 16 x 16 thumbnails, trained on the same images. Where it does as well as the model,
the model has not shown that it looks at the lungs.

| question | yes / no | this model | thumbnail |
|---|---|---|---|
{areas}

The images that experts read are of patients never trained on; a third of the opacities are of the
validation split. Three-class accuracy on test: {accuracy}; rows true,
columns predicted (normal, pneumonia, COVID-19): `{confusion}`. Expected calibration error of
"abnormal" on test: {calibration_error}.

## At the operating point
Threshold {threshold} on 1 - P(normal), chosen on **validation** for sensitivity 0.95 (calling a
normal image abnormal is the lesser harm). Between {low} and {high} the answer is "indeterminate";
90 % of the normal validation images lie below its upper end. "Called abnormal" counts every image
at or above the threshold, whether or not in the band. The last three columns are what the node
answers.

| images | n | called abnormal | abnormal | indeterminate | normal |
|---|---|---|---|---|---|
{rates}

## What must not be concluded
- **That it detects COVID-19.** All COVID-19 images come from one source with other crops, sharpness
  and markers than the NIH images; a label is nearly a source label. Inside that source the model
  separates COVID-19 from the rest only as well as the table says. Its opacity is what the image
  supports; the cause of it is not.
- **That the internal figures hold elsewhere.** OpenIST shows what happens to normal images of a
  hospital it never saw. A site must measure on its own images, and choose its own threshold, before
  it looks at a single answer.
- **That it reads pneumonia.** Where experts read images that all carry the same text label, it
  separates opacity from normal as the table says; 0.566 was measured for frozen features with
  a logistic regression on all 124 / 57 such images.
- **That a faint map or a low probability excludes disease.** Other diseases (pneumothorax, nodules,
  effusion) were not in the training labels.
- The AP view, the size of the heart and devices go along with illness in these data, and the model
  may use them.
- What augmentation to use was decided after seeing a first version call nearly all OpenIST images
  abnormal (their margins gave the source away), so OpenIST is not an untouched test any more.

## Made by
`python -m training.chest`, seed {seed}, at most {epochs} epochs, {date}; see `docs/training.md`.
The images are not part of this package.
"""


def card(
    figures: Mapping[str, Figure | str], point: OperatingPoint, facts: Mapping[str, object]
) -> str:
    """Return the card as Markdown.

    Parameters
    ----------
    figures
        From ``chest_figures.measure``.
    point
        The operating point.
    facts
        What differs from run to run: seed, epochs, temperature, date, and the counts of images.
    """
    return _TEXT.format(
        **facts,
        version=VERSION,
        areas="\n".join(_area(figures, key, title) for key, title in _AREAS),
        rates="\n".join(_rate(figures, key, title) for key, title in _RATES),
        threshold=f"{point.threshold:.4f}",
        low=f"{point.band[0]:.4f}",
        high=f"{point.band[1]:.4f}",
        accuracy=figures["accuracy"],
        confusion=figures["confusion"],
        calibration_error=figures["calibration_error"],
    )


def _area(figures: Mapping[str, Figure | str], key: str, title: str) -> str:
    return f"| {title} | {figures[key + '_n']} | {figures[key]} | {figures[key + '_thumbnail']} |"


def _rate(figures: Mapping[str, Figure | str], key: str, title: str) -> str:
    columns = [f"called_{key}_n", f"called_{key}", f"firm_{key}", f"open_{key}"]
    columns.append(f"cleared_{key}")
    return f"| {title} | " + " | ".join(str(figures[column]) for column in columns) + " |"

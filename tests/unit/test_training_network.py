"""The classifier, its loss and its random changes; skipped where torch is not installed."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tinytraining import SIDE, random_backbone, write_backbone
from training.errors import WeightsError
from training.recipe import AugmentSection

torch: Any = pytest.importorskip("torch", reason="torch is not installed (extra: train)")
# Loaded by name, so that type checking does not need torch either.
network: Any = importlib.import_module("training.network")
augmenting: Any = importlib.import_module("training.augment")
backbone: Any = importlib.import_module("training.backbone")
graphs: Any = importlib.import_module("training.graphs")
OUTSIDE = 0.02


def classifier(classes: int) -> Any:
    made = network.Classifier(random_backbone(), classes, dropout=0.0).eval()
    torch.nn.init.normal_(made.head.weight, std=0.1)
    torch.nn.init.uniform_(made.head.bias)
    return made


def pictures(count: int = 2) -> tuple[Any, Any]:
    generator = torch.Generator().manual_seed(3)
    region = torch.zeros(count, 1, SIDE, SIDE)
    region[:, :, :32, 16:] = 1.0
    return torch.rand(count, 1, SIDE, SIDE, generator=generator), region


# -- backbone --


def test_saved_weights_come_back_in_order(tmp_path: Path) -> None:
    again = backbone.load(write_backbone(tmp_path / "all.npz"))
    image = torch.rand(1, 3, SIDE, SIDE)
    with torch.no_grad():
        assert torch.equal(random_backbone()(image), again(image))


def test_weights_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"none\.npz: cannot be read as the backbone"):
        backbone.load(tmp_path / "none.npz")


def test_a_file_that_holds_no_weights_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("no archive", "utf-8")
    np.savez(tmp_path / "plain.npz", values=np.zeros(3))
    for name in ("text.npz", "plain.npz"):
        with pytest.raises(WeightsError, match=rf"{name}: cannot be read as the backbone"):
            backbone.load(tmp_path / name)


@pytest.mark.parametrize(
    ("index", "shape", "problem"),
    [(0, None, "51 convolutions, MobileNetV2 has 52"), (3, (1, 2), r"array w3 has shape \(1, 2\)")],
)
def test_weights_of_another_network_are_refused(
    tmp_path: Path, index: int, shape: tuple[int, ...] | None, problem: str
) -> None:
    import json

    write_backbone(tmp_path / "all.npz")
    with np.load(tmp_path / "all.npz") as arrays:
        changed = dict(arrays)
    if shape is None:
        meta = json.loads(bytes(changed["__meta__"]))
        del meta["graph"][index]
        changed["__meta__"] = np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8)
    else:
        changed[f"w{index}"] = np.zeros(shape)
    np.savez(tmp_path / "other.npz", allow_pickle=False, **changed)
    with pytest.raises(WeightsError, match=problem):
        backbone.load(tmp_path / "other.npz")


# -- classifier --


@pytest.mark.parametrize(("classes", "heads"), [(2, 1), (3, 3), (5, 5)])
def test_probabilities_sum_to_one(classes: int, heads: int) -> None:
    with torch.no_grad():
        logits = classifier(classes)(*pictures())
    assert logits.shape == (2, heads)
    found = network.probabilities(logits, 1.7, -0.3)
    assert found.shape == (2, classes)
    assert float((found.sum(1) - 1.0).abs().max()) < 1e-6
    wanted = torch.sigmoid(1.7 * logits[:, 0] - 0.3)
    assert torch.allclose(1.0 - found[:, 0], wanted)


def test_the_kinds_share_the_probability_of_abnormal() -> None:
    logits = torch.tensor([[0.0, 2.0, 1.0]])
    found = network.probabilities(logits, 1.0, 0.0)
    assert found[0, 0] == pytest.approx(0.5)
    assert float(found[0, 1] / found[0, 2]) == pytest.approx(float(np.e), rel=1e-5)


def test_a_linear_map_and_its_bias_are_the_logit() -> None:
    """So a class activation map is exact: mean over the region, plus bias, is what was said."""
    made, (picture, region) = classifier(3), pictures()
    with torch.no_grad():
        found, weight = made.features(picture, region)
        rows = torch.nn.functional.conv2d(found, made.head.weight[:, :, None, None])
        mean = (rows * weight).sum((2, 3)) / weight.sum((2, 3))
        assert torch.allclose(mean + made.head.bias, made(picture, region), atol=1e-4)


@pytest.mark.parametrize("classes", [2, 4])
def test_evidence_is_the_part_of_that_map_that_speaks_for_a_class(classes: int) -> None:
    made, (picture, region) = classifier(classes), pictures()
    with torch.no_grad():
        found, weight = made.features(picture, region)
        evidence = made.evidence(found, weight)
        rows = torch.nn.functional.conv2d(found, made.head.weight[:, :, None, None])
    inside = (weight - OUTSIDE).clamp(0.0, 1.0)
    assert evidence.shape == (2, classes, 2, 2)
    assert torch.allclose(evidence[:, :1], torch.relu(-rows[:, :1]) * inside, atol=1e-3)
    kinds = rows[:, :1] if classes == 2 else rows[:, :1] + rows[:, 1:] - rows[:, 1:].mean(1, True)
    assert torch.allclose(evidence[:, 1:], torch.relu(kinds) * inside, atol=1e-3)
    assert float(evidence[:, :, 1, 0].abs().max()) == 0.0  # outside the region
    assert float(evidence.max()) > 0.0


def test_what_lies_outside_the_region_hardly_counts() -> None:
    made = classifier(2)
    features = torch.zeros(1, 1280, 2, 2)
    features[..., 0] = 1.0
    weight = torch.full((1, 1, 2, 2), OUTSIDE)
    weight[..., 0] += 1.0
    pooled = (features * weight).sum((2, 3)) / weight.sum((2, 3))
    assert float(pooled.min()) > 0.97
    with torch.no_grad():
        picture, region = pictures()
        found, weight = made.features(picture, region)
        again = (found * weight).sum((2, 3)) / weight.sum((2, 3))
        assert torch.allclose(made.pooled(picture, region), again)


def test_an_empty_region_still_gives_an_answer() -> None:
    with torch.no_grad():
        assert bool(classifier(3)(pictures()[0], torch.zeros(2, 1, SIDE, SIDE)).isfinite().all())


# -- loss --

ONES = torch.ones(2)
TARGETS = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


def gradient(screens: Any, kinds: Any, targets: Any = TARGETS, **how: float) -> Any:
    logits = torch.tensor([[0.4, 0.1, 0.2], [-0.3, 0.5, 0.1]], requires_grad=True)
    network.loss(logits, targets, screens, kinds, **how).backward()
    return logits.grad


def test_an_image_that_does_not_screen_does_not_teach_abnormality() -> None:
    slope = gradient(torch.tensor([1.0, 0.0]), ONES)
    assert float(slope[1, 0]) == 0.0
    assert float(slope[0, 0]) > 0.0  # normal: the logit must fall
    assert float(slope[1, 2]) < 0.0  # but it teaches its kind


def test_an_image_without_kinds_does_not_teach_them() -> None:
    slope = gradient(ONES, torch.tensor([1.0, 0.0]))
    assert float(slope[:, 1:].abs().max()) == 0.0
    assert float(slope[1, 0]) < 0.0


def test_a_normal_image_never_teaches_a_kind() -> None:
    assert float(gradient(ONES, ONES)[0, 1:].abs().max()) == 0.0


def test_normal_images_of_a_batch_do_not_thin_out_what_it_says_of_kinds() -> None:
    logits = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    nothing = torch.zeros(2)
    said = network.loss(logits, TARGETS, nothing, ONES, share=1.0)
    assert float(said) == pytest.approx(float(-torch.log_softmax(logits[1, 1:], 0)[1]))


def test_nothing_to_learn_is_no_loss() -> None:
    assert float(gradient(torch.zeros(2), torch.zeros(2)).abs().max()) == 0.0


def test_the_loss_is_cross_entropy_with_smoothed_labels() -> None:
    logits = torch.tensor([[0.0, 0.0, 0.0]])
    said = network.loss(logits, TARGETS[1:], ONES[:1], ONES[:1], share=0.5)
    assert float(said) == pytest.approx(float(np.log(2.0)) * 1.5)
    best = [
        float(network.loss(torch.tensor([[x]]), torch.tensor([[0.0, 1.0]]), ONES[:1], ONES[:1]))
        for x in (2.0, float(np.log(0.98 / 0.02)), 6.0)
    ]
    assert best[1] < min(best[0], best[2])


def test_a_mixture_pulls_to_its_share() -> None:
    target = torch.tensor([[0.3, 0.7]])
    logit = torch.tensor([[0.0]], requires_grad=True)
    network.loss(logit, target, ONES[:1], ONES[:1]).backward()
    assert float(logit.grad[0, 0]) == pytest.approx(0.5 - (0.7 * 0.96 + 0.02))


def test_the_focal_loss_makes_little_of_what_is_right_already() -> None:
    easy, hard = torch.tensor([[4.0]]), torch.tensor([[-4.0]])
    target = torch.tensor([[0.0, 1.0]])

    def part(focal: float) -> float:
        at = [float(network.loss(each, target, ONES[:1], ONES[:1], focal=focal))
              for each in (easy, hard)]  # fmt: skip
        return at[0] / at[1]

    assert part(2.0) < 0.01 * part(0.0)


# -- augmentation --

EVERYTHING = AugmentSection(mirror=True, sharpen=1.0, soften=1.0, erase=1.0)
NOTHING = AugmentSection(
    rotate_degrees=0, scale=0, stretch=0, shift=0, gamma=0, contrast=0, brightness=0, noise=0,
    soften=0, erase=0,
)  # fmt: skip


def changed(how: AugmentSection, seed: int = 1, count: int = 8) -> tuple[Any, Any]:
    picture, region = pictures(count)
    result: tuple[Any, Any] = augmenting.augment(
        picture, region, how, torch.Generator().manual_seed(seed)
    )
    return result


def test_changes_repeat_with_their_seed_and_keep_shape_and_range() -> None:
    first, again, other = changed(EVERYTHING), changed(EVERYTHING), changed(EVERYTHING, seed=2)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])
    assert first[0].shape == first[1].shape == (8, 1, SIDE, SIDE)
    for each in first:
        assert 0.0 <= float(each.min()) <= float(each.max()) <= 1.0


def test_no_random_number_comes_from_elsewhere() -> None:
    torch.manual_seed(1)
    first = changed(EVERYTHING)
    torch.manual_seed(2)
    assert torch.equal(first[0], changed(EVERYTHING)[0])


def test_without_changes_a_picture_stays_what_it_is() -> None:
    picture, region = pictures(8)
    same, still = changed(NOTHING)
    assert torch.allclose(same, picture, atol=1e-4)
    assert torch.allclose(still, region, atol=1e-4)


def mirrored(how: AugmentSection) -> list[bool]:
    """Which of 64 pictures, bright on their left, are bright on their right afterwards."""
    picture = torch.zeros(64, 1, 32, 32)
    picture[..., :12] = 1.0
    region = torch.ones(64, 1, 32, 32)
    seen, _ = augmenting.augment(picture, region, how, torch.Generator().manual_seed(4))
    right: list[bool] = (seen[..., 16:].mean((1, 2, 3)) > seen[..., :16].mean((1, 2, 3))).tolist()
    return right


def test_pictures_are_mirrored_only_where_the_recipe_says_so() -> None:
    wide = AugmentSection(rotate_degrees=20, scale=0.3, erase=0, soften=0)
    assert not any(mirrored(wide))
    assert 16 < sum(mirrored(wide.model_copy(update={"mirror": True}))) < 48


def test_the_region_moves_with_the_picture() -> None:
    how = AugmentSection(
        rotate_degrees=30, shift=0.2, mirror=True, gamma=0, contrast=0, brightness=0, noise=0,
        soften=0, erase=0,
    )  # fmt: skip
    _, region = pictures(8)
    seen, inside = augmenting.augment(region, region, how, torch.Generator().manual_seed(5))
    assert torch.allclose(seen, inside, atol=1e-4)


def test_what_is_erased_is_black_and_out_of_the_region() -> None:
    how = NOTHING.model_copy(update={"erase": 1.0})
    whole = torch.ones(32, 1, SIDE, SIDE)
    seen, inside = augmenting.augment(whole, whole, how, torch.Generator().manual_seed(6))
    assert torch.equal(seen == 0.0, inside == 0.0)
    gone = (inside < 0.5).float().mean((1, 2, 3))
    assert 0.005 < float(gone.min()) <= float(gone.max()) < 0.13
    assert float(whole.min()) == 1.0  # the picture that came in is untouched


def test_the_channels_of_a_slice_and_its_neighbours_move_alike() -> None:
    one = pictures(4)[0]
    moved = augmenting.move(one.expand(-1, 3, -1, -1), EVERYTHING, torch.Generator().manual_seed(7))
    assert torch.equal(moved[:, 0], moved[:, 2])
    assert not torch.allclose(moved[:, :1], one, atol=0.1)


# -- slices --


def test_each_slice_lies_between_its_neighbours() -> None:
    line = torch.arange(4.0)[:, None, None, None]
    assert graphs.neighbours(line)[:, :, 0, 0].tolist() == [
        [0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 3],
    ]  # fmt: skip

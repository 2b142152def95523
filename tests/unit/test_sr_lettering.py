"""Letters of the overlay: the font that is shipped, and what stands in for what it lacks."""

import pytest

from sr.lettering import FONT_FILE, font, printable


def test_font_is_shipped_with_its_licence() -> None:
    assert FONT_FILE.stat().st_size < 3_000_000
    assert "SIL OPEN FONT LICENSE" in (FONT_FILE.parent / "OFL.txt").read_text("utf-8")
    assert font(20).getname() == ("BIZ UDPGothic", "Regular")


@pytest.mark.parametrize(
    "text",
    [
        "ABNORMAL, most likely pneumonia (71.3 %)",
        "Reflète ce que le modèle a utilisé. N°2 ±0,5 µm²",
        "診断には使用しないこと。（1）肺炎 71.3%、髙﨑",  # noqa: RUF001
        "Ελλάδα Привет Łódź ř ş",
    ],
)
def test_font_has_what_results_are_written_in(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("e\u0301", "é"),
        ("ﬁbrosis", "fibrosis"),
        ("脳\U0001f9e0", "脳?"),
        ("a\x07b", "a?b"),
        ("a\nb", "a b"),
        ("٣", "?"),
    ],
)
def test_what_the_font_lacks_is_written_plainer(text: str, expected: str) -> None:
    assert printable(text) == expected

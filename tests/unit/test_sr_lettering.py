"""Letters of the overlay: the font that is shipped, and what stands in for what it lacks."""

import pytest

from sr.lettering import FONT_FILE, broken, fitting, font, printable


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


@pytest.mark.parametrize(
    ("text", "room", "expected"),
    [
        ("Prompt review is suggested.", 165, ("Prompt review", "is suggested.")),
        ("Score : 3,2 (0 à 8) ; 71,0 %", 20, None),
        ("異常の確率（閾値）。", 105, ("異常の確率", "（閾値）。")),  # noqa: RUF001
        ("疾患を否定する。", 143, ("疾患を否定す", "る。")),
        ("モデル chest-screen 1.2", 150, ("モデル", "chest-screen", "1.2")),
        ("aaaaaaaaaaaaaaaaaaaa", 100, None),
        ("", 100, ("",)),
    ],
)
def test_lines_break_where_the_language_allows(
    text: str, room: int, expected: tuple[str, ...] | None
) -> None:
    lines = broken(text, 20, room)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(font(20).getlength(each) <= max(room, 25) for each in lines)
    if expected is not None:
        assert lines == expected


@pytest.mark.parametrize("room", range(80, 400, 7))
def test_no_line_starts_with_what_ends_one(room: int) -> None:
    text = "人工知能による「自動スクリーニング」の暫定結果である（診断には使用しないこと）。7.1 %。"  # noqa: RUF001
    lines = broken(text, 20, room)
    assert not any(each[0] in "、。）」ー%" for each in lines)  # noqa: RUF001
    assert not any(each[-1] in "（「" for each in lines)  # noqa: RUF001


def test_text_is_made_smaller_until_it_fits() -> None:
    assert fitting("short", 40, 10, 1000) == 40
    assert fitting("a longer text", 40, 10, 200) < 40
    assert font(fitting("a longer text", 40, 10, 200)).getlength("a longer text") <= 200
    assert fitting("a longer text", 40, 10, 5) == 10

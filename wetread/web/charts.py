"""Charts as inline SVG, made here: no script, no style of their own; the CSS gives the colours."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

_WIDTH, _HEIGHT = 400, 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 36, 6, 10, 20
_LABELS = 5


def bars(name: str, starts: Sequence[str], values: Sequence[int], unit: str) -> Markup:
    """One bar for each span of time.

    Parameters
    ----------
    name
        What it shows, for who cannot see it.
    starts
        When each span began, as it is to be written.
    values, unit
        How many, of what.
    """
    top, wide = _ceiling(max(values, default=0)), (_WIDTH - _LEFT - _RIGHT) / max(1, len(values))
    drawn = [
        Markup(
            '<rect class="one" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}">'
            "<title>{}: {} {}</title></rect>"
        ).format(
            _LEFT + wide * place + wide * 0.1,
            _y(value, top),
            wide * 0.8,
            _HEIGHT - _BOTTOM - _y(value, top),
            start,
            value,
            unit,
        )
        for place, (start, value) in enumerate(zip(starts, values, strict=True))
        if value
    ]
    summary = f"{name}: {sum(values)} {unit} since {starts[0]}" if starts else name
    return _frame(summary, top, starts, drawn, "")


def lines(
    name: str, starts: Sequence[str], pair: Sequence[Sequence[float | None]], unit: str
) -> Markup:
    """Up to two lines over spans of time; a span without a value is a gap.

    Parameters
    ----------
    name, starts
        As of ``bars``.
    pair, unit
        One or two series of values, and their unit.
    """
    known = [value for series in pair for value in series if value is not None]
    top, wide = _ceiling(max(known, default=0)), (_WIDTH - _LEFT - _RIGHT) / max(1, len(starts))
    drawn = [
        Markup('<path class="{}" d="{}"/>').format(look, _path(series, top, wide))
        for look, series in zip(("line-one", "line-two"), pair, strict=False)
    ]
    summary = f"{name}, up to {max(known):.1f} {unit}" if known else f"{name}: nothing yet"
    return _frame(summary, top, starts, drawn, unit)


def _path(series: Sequence[float | None], top: float, wide: float) -> str:
    """A step for each value, so that a single one can be seen, too."""
    parts, joined = list[str](), False
    for place, value in enumerate(series):
        if value is None:
            joined = False
            continue
        left, y = _LEFT + wide * place, _y(value, top)
        parts.append(f"{'L' if joined else 'M'}{left:.1f} {y:.1f}H{left + wide:.1f}")
        joined = True
    return "".join(parts)


def _frame(
    summary: str, top: float, starts: Sequence[str], drawn: Sequence[Markup], unit: str
) -> Markup:
    wide = (_WIDTH - _LEFT - _RIGHT) / max(1, len(starts))
    step = max(1, -(-len(starts) // _LABELS))
    labels = [
        Markup('<text x="{:.1f}" y="{}">{}</text>').format(
            _LEFT + wide * place, _HEIGHT - 6, starts[place]
        )
        for place in range(0, len(starts), step)
    ]
    scale = [
        Markup(
            '<line class="axis" x1="{}" x2="{}" y1="{y:.1f}" y2="{y:.1f}"/>'
            '<text x="{}" y="{:.1f}" text-anchor="end">{}</text>'
        ).format(
            _LEFT, _WIDTH - _RIGHT, _LEFT - 6, _y(value, top) + 4, f"{value:g}{unit}",
            y=_y(value, top),
        )
        for value in (0, top / 2, top)
    ]  # fmt: skip
    return Markup(
        '<svg class="chart" role="img" aria-label="{}" viewBox="0 0 {} {}">{}{}{}</svg>'
    ).format(summary, _WIDTH, _HEIGHT, *(Markup("").join(each) for each in (scale, drawn, labels)))


def _y(value: float, top: float) -> float:
    return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - value / top)


def _ceiling(value: float) -> float:
    """A round number at or above a value; half of it is round as well."""
    ceiling = 2.0
    while ceiling < value:
        for factor in (1, 2, 3, 5):
            if ceiling * factor >= value:
                return ceiling * factor
        ceiling *= 10
    return ceiling

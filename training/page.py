"""``evaluation.html``: tables and plots of an evaluation, one page without outside parts."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from training.recipe import Recipe
from training.tables import Table, tables

_PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
 body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 62em; margin: 2em auto; padding: 0 1em; }}
 table {{ border-collapse: collapse; margin: .5em 0 1.5em; }}
 th, td {{ text-align: left; padding: .2em .9em .2em 0; border-bottom: 1px solid #ccc; }}
 figure {{ display: inline-block; margin: 0 1em 1em 0; }}
 img {{ max-width: 100%; }}
 .warn {{ background: #fff3d6; color: #222; padding: .6em 1em; }}
</style>
<h1>{title}</h1>
<p class="warn">Research and demonstration only. Not for diagnosis.</p>
{tables}
<h2>Plots</h2>
{plots}
</html>
"""


def write_page(
    recipe: Recipe, figures: dict[str, Any], pictures: dict[str, str], path: Path
) -> None:
    """Write the page.

    Parameters
    ----------
    recipe
        For the model's names.
    figures
        From ``training.judge``.
    pictures
        Title to file name, beside the page.
    path
        File to write.
    """
    package = recipe.package
    plots = "\n".join(
        f'<figure><img src="{escape(file)}" alt="{escape(title)}">'
        f"<figcaption>{escape(title)}</figcaption></figure>"
        for title, file in pictures.items()
    )
    path.write_text(
        _PAGE.format(
            title=escape(f"{package.title}: {package.name} {package.version}"),
            tables="\n".join(_table(each) for each in tables(figures)),
            plots=plots,
        ),
        "utf-8",
    )


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in table.head)
    rows = "\n".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows
    )
    return f"<h2>{escape(table.title)}</h2>\n<table><tr>{head}</tr>\n{rows}</table>"

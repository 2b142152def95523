"""The models: their cards, and which workers have them."""

from __future__ import annotations

from markdown_it import MarkdownIt
from markupsafe import Markup
from starlette.responses import Response
from starlette.routing import Route

from db.errors import NotFound
from inference.package import CARD_FILE, Package
from wetread.condition import condition
from wetread.web.jobs import here
from wetread.web.visits import Visit, page

# A card comes with a package from anywhere: its HTML is text, and it loads no pictures.
_markdown = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")


def routes() -> list[Route]:
    """The list and one model."""
    return [page("/models", _models), page("/models/{name}", _model)]


def _models(visit: Visit) -> Response:
    with visit.site.database.read() as connection:
        node = condition(visit.site.settings, connection)
    paused = {each["name"]: each for each in node["paused"]}
    loaded = {each["name"] for each in node["models"]}
    names = sorted({*visit.site.packages, *loaded, *paused} - {"*"})
    rows = [
        {
            "name": name,
            "package": visit.site.packages.get(name),
            "paused": paused.get(name),
            "workers": [each for each in node["models"] if each["name"] == name],
            "queued": sum(e["queued"] for e in node["queued_models"] if e["name"] == name),
        }
        for name in names
    ]
    return visit.show(
        "models.html",
        live=here(visit),
        models=rows,
        all_paused=paused.get("*"),
        disabled=node["disabled"],
    )


def _model(visit: Visit) -> Response:
    name = visit.request.path_params["name"]
    package = visit.site.packages.get(name)
    if package is None:
        raise NotFound(f"there is no model {name} on this host")
    return visit.show("model.html", package=package, card=_card(package))


def _card(package: Package) -> Markup:
    try:
        text = (package.folder / CARD_FILE).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return Markup("<p>It has no card that can be read.</p>")
    return Markup(_markdown.render(text))

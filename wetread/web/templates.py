"""Makes HTML; whatever a page is given is escaped."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request

from wetread.version import VERSION
from wetread.web import wording

_environment = Environment(
    loader=PackageLoader("wetread.web", "pages"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
_environment.filters |= wording.FILTERS
_environment.globals["version"] = VERSION


def render(template: str, *, request: Request, **values: Any) -> str:
    """Fill in a template of ``wetread/web/pages``."""
    return _environment.get_template(template).render(path=request.url.path, **values)

"""Catalogues: what results say, one TOML file per language, checked when it is loaded.

``[language]`` holds what the language is called and how it writes numbers and lists,
``[sentences]`` every text with ``{placeholders}``. English is the model of all others; they also
have ``[findings]``, names of common concepts by ``SCHEME:VALUE``, and ``[reasons]``, by the English
template of a ``sr.reasons.Reason``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from string import Formatter
from typing import Any, TypeAlias

from sr.reasons import Reason

FOLDER = Path(__file__).parent / "languages"
_MODEL = "en"
_ONE, _OTHER = "one", "other"

Forms: TypeAlias = Mapping[str, str]
"""A sentence by grammatical number: ``other``, and ``one`` where the language has a singular."""


class CatalogueError(ValueError):
    """A catalogue that could not say everything; the message names the file and the key."""


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """The texts of one language.

    Attributes
    ----------
    tag, meaning
        Code value and meaning of the language (RFC 5646), e.g. ``"fr-FR"``, ``"French (France)"``.
    singular
        Counts for which the form ``one`` stands.
    decimal
        The decimal mark.
    comma, alternative, semicolon
        What stands between the items of a list, between possible ones, and between longer ones.
    space, full_stop
        What stands between sentences, and at the end of one.
    sentences
        By key.
    findings
        Names of concepts by ``SCHEME:VALUE``.
    reasons
        By English template.
    """

    tag: str
    meaning: str
    singular: tuple[int, ...]
    decimal: str
    comma: str
    alternative: str
    semicolon: str
    space: str
    full_stop: str
    sentences: Mapping[str, Forms]
    findings: Mapping[str, str] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)

    def say(self, key: str, **values: object) -> str:
        """Return a sentence with its placeholders filled; ``count`` chooses its form."""
        forms = self.sentences[key]
        form = _ONE if values.get("count") in self.singular else _OTHER
        return forms.get(form, forms[_OTHER]).format(**values)

    def reason(self, reason: Reason) -> str:
        """Return a reason in this language; one that is not known stays English."""
        template = self.reasons.get(reason.template)
        if template is None:
            return str(reason)
        return template.format(**{key: self._value(each) for key, each in reason.values.items()})

    def _value(self, value: str) -> str:
        """Return what stands in a reason: mostly as it is, but lists are English."""
        alternatives = (self.reasons.get(each, each) for each in value.split(" or "))
        return self.alternative.join(alternatives)

    def finding(self, scheme: str, value: str) -> str | None:
        """Return the name of a concept; None if it is not known."""
        return self.findings.get(f"{scheme}:{value}")


@lru_cache
def catalogue(language: str) -> Catalogue:
    """Return the catalogue of a language that ``sr.style.LANGUAGES`` names.

    Raises
    ------
    CatalogueError
        It lacks a sentence, has one too many, or has other placeholders than the English one.
    """
    loaded = read_catalogue(FOLDER / f"{language}.toml")
    if language != _MODEL:
        check_sentences(loaded, catalogue(_MODEL), language)
    return loaded


def read_catalogue(path: Path) -> Catalogue:
    """Read a catalogue.

    Raises
    ------
    CatalogueError
        A table or a key of ``[language]`` is missing, or a template is malformed.
    """
    tables = tomllib.loads(path.read_text("utf-8"))
    try:
        language: dict[str, Any] = tables["language"]
        language["singular"] = tuple(language["singular"])
        loaded = Catalogue(
            **language,
            sentences={key: _forms(each) for key, each in tables["sentences"].items()},
            findings=tables.get("findings", {}),
            reasons=tables.get("reasons", {}),
        )
    except (KeyError, TypeError) as error:
        raise CatalogueError(f"{path.name}: {error}") from error
    for key, forms in loaded.sentences.items():
        if set(forms) != ({_ONE, _OTHER} if _counts(forms) and loaded.singular else {_OTHER}):
            raise CatalogueError(f"{path.name}: {key} lacks a form, or has one too many")
    for template, said in loaded.reasons.items():
        if not placeholders(said) <= placeholders(template):
            raise CatalogueError(f"{path.name}: {template!r} has other placeholders")
    return loaded


def check_sentences(loaded: Catalogue, model: Catalogue, language: str) -> None:
    """Compare the sentences of two catalogues.

    Raises
    ------
    CatalogueError
        They differ in keys or placeholders.
    """
    different = sorted(loaded.sentences.keys() ^ model.sentences.keys())
    if different:
        raise CatalogueError(f"{language}: missing or unknown: {', '.join(different)}")
    for key, forms in loaded.sentences.items():
        if placeholders(forms[_OTHER]) != placeholders(model.sentences[key][_OTHER]):
            raise CatalogueError(f"{language}: {key} has other placeholders")


def placeholders(template: str) -> set[str]:
    """Return the names in braces of a template.

    Raises
    ------
    CatalogueError
        A brace is open.
    """
    try:
        return {name for _, name, _, _ in Formatter().parse(template) if name is not None}
    except ValueError as error:
        raise CatalogueError(f"{template!r}: {error}") from error


def _forms(stated: str | dict[str, str]) -> Forms:
    return {_OTHER: stated} if isinstance(stated, str) else stated


def _counts(forms: Forms) -> bool:
    return "count" in placeholders(forms[_OTHER])

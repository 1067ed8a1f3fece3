"""Writes docs/bindings.md from what the modules of the gateway declare.

``python -m tests.docs.bindings_page``
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from api.ocpp.exchange import ALL_VERSIONS, Carrier, InformationExchange
from api.ocpp.exchanges import MODULES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "bindings.md"

_HEAD = """# What carries each information exchange

Written by `python -m tests.docs.bindings_page` from what the modules of \
`api/ocpp/exchanges` declare, each beside its encoders and decoders: change nothing \
here.

Ids are those of IEC 63110-1 (E use cases and their information exchanges, clauses). \
**in**: a station tells us; **out**: we tell it. **=** is carried as meant, **~** in \
part, **∅** by nothing: then it is said what is done.
"""


def exchanges_of() -> dict[str, list[InformationExchange]]:
    """Return all declared exchanges by id, in the order of the standard.

    What several modules declare of one exchange in the same words is one.
    """
    whole: dict[tuple[str, str], InformationExchange] = {}
    for module in MODULES:
        for exchange in module.exchanges:
            named = (exchange.id, exchange.what)
            before = whole[named].carriers if named in whole else ()
            carriers = (*before, *exchange.carriers)
            whole[named] = exchange._replace(carriers=carriers)
    found: dict[str, list[InformationExchange]] = {}
    for exchange in whole.values():
        found.setdefault(exchange.id, []).append(exchange)
    return dict(sorted(found.items(), key=lambda each: _order(each[0])))


def page() -> str:
    """Return the page."""
    return "\n".join([_HEAD, *_sections(exchanges_of().items())])


def _sections(
    by_id: Iterable[tuple[str, list[InformationExchange]]],
) -> Iterator[str]:
    group = ""
    for id_, exchanges in by_id:
        if id_.split(".Info")[0] != group:
            group = id_.split(".Info")[0]
            yield f"## {group}\n"
        for exchange in exchanges:
            yield f"### {id_}: {exchange.what}\n"
            yield "| OCPP | | messages | |\n| --- | --- | --- | --- |"
            for version in reversed(ALL_VERSIONS):
                carriers = [c for c in exchange.carriers if version in c.versions]
                yield from (_row(version, carrier) for carrier in carriers)
            yield ""


def _row(version: str, carrier: Carrier) -> str:
    actions = ", ".join(f"`{action}`" for action in carrier.actions)
    said = f"{carrier.direction}: {actions}" if actions else ""
    return f"| {version} | {carrier.fit} | {said} | {carrier.note} |"


def _order(id_: str) -> tuple[bool, list[tuple[int, str]]]:
    """Use cases by letter and number, then clauses by theirs."""
    is_clause = id_[0].isdigit()
    parts = id_.replace("Info", "").split(".")
    letters = "".join(c for c in parts[0] if c.isalpha())
    parts[0] = parts[0].removeprefix(letters)
    numbers = [(int(part), "") if part.isdigit() else (0, part) for part in parts]
    return is_clause, [(0, letters), *numbers]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

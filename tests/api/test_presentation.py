"""How values look outside."""

from api.rest.presentation import Schemas, present
from domain.model.session_events import MergedFrom


def test_a_place_whose_name_ends_as_an_instants_is_shown_as_it_is() -> None:
    merged = MergedFrom(session_id="a", from_session_id="b", waiting_at="DE*ABC*E1")
    assert present(merged)["waiting_at"] == "DE*ABC*E1"
    schemas = Schemas()
    schemas.of(MergedFrom)
    shown = schemas.components["MergedFrom"]["properties"]["waiting_at"]
    assert shown == {"type": "string"}

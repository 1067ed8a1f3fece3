"""The page on security says what the table of permissions and the log's kinds say."""

from pathlib import Path

from api.security.notes import Kind
from api.security.oidc import OidcSettings
from api.security.permissions import TABLE
from api.security.principal import Role
from projections.security import CONFIGURATION_CHANGED, CONFIGURING

PAGE = Path(__file__).resolve().parents[2] / "docs" / "security.md"


def permissions() -> str:
    """Return the table of the page, as the code has it."""
    lines = [
        f"| | {' | '.join(Role)} |",
        f"| --- |{' :-: |' * len(Role)}",
    ]
    for permission, roles in TABLE.items():
        cells = " | ".join("x" if role in roles else " " for role in Role)
        lines.append(f"| `{permission}` | {cells} |")
    return "\n".join(lines)


def test_the_page_has_the_table_of_permissions() -> None:
    assert permissions() in PAGE.read_text("utf-8"), permissions()


def test_the_page_names_every_kind_and_setting() -> None:
    page = PAGE.read_text("utf-8")
    for kind in (*Kind, CONFIGURATION_CHANGED, *CONFIGURING):
        assert f"`{kind}`" in page, kind
    for name in OidcSettings.__struct_fields__:
        assert f"`VOLTLEDGER_OIDC_{name.upper()}`" in page, name

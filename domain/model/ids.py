"""Identifiers and the names of streams."""

import hashlib
import re

from domain.errors import InvalidValue
from domain.model.values import Instant, utc_day_of

# ISO 15118-2 Annex H / IEC 63119-2: country, operator, "E", then the power outlet id.
_EVSE_ID = re.compile(
    r"^[A-Z]{2}\*?[A-Z0-9]{3}\*?E[A-Z0-9](?:[A-Z0-9*]{0,29}[A-Z0-9])?$"
)
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._*-]{0,63}$")


def evse_id_of(text: str) -> str:
    """Return ``text`` when it is an EVSE id by the grammar of ISO 15118-2 Annex H."""
    if not _EVSE_ID.fullmatch(text):
        raise InvalidValue(
            f"EVSE id {text!r} is not country (2 letters), operator (3 letters or "
            "digits), 'E' and an outlet id of 1 to 31 letters, digits or '*'"
        )
    return text


def bare_evse_id(evse_id: str) -> str:
    """Return an EVSE id without separators: with and without, it is the same EVSE."""
    return evse_id.replace("*", "")


def name_of(kind: str, text: str) -> str:
    """Return ``text`` when it can name a zone, station or party."""
    if not _NAME.fullmatch(text):
        raise InvalidValue(
            f"{kind} {text!r} is not 1 to 64 letters, digits, '.', '_', '*' or '-' "
            "beginning with a letter or digit"
        )
    return text


def session_stream(session_id: str) -> str:
    """Return the stream of a service session."""
    return f"session-{session_id}"


def evse_stream(evse_id: str) -> str:
    """Return the stream of an EVSE."""
    return f"evse-{evse_id}"


def station_stream(station_id: str) -> str:
    """Return the stream of a charging station."""
    return f"station-{station_id}"


def zone_stream(zone_id: str) -> str:
    """Return the stream of a charging site zone."""
    return f"zone-{zone_id}"


def pre_stream(zone_id: str) -> str:
    """Return the stream of the PREs a zone's RM sets."""
    return f"pre-{zone_id}"


def plan_stream(zone_id: str, at: Instant) -> str:
    """Return the stream of a zone's plans of the UTC day of ``at``."""
    return f"plan-{zone_id}-{utc_day_of(at)}"


def delivery_stream(station_id: str, at: Instant) -> str:
    """Return the stream of a station's deliveries of the UTC day of ``at``."""
    return f"delivery-{station_id}-{utc_day_of(at)}"


def contract_stream(contract_id: str) -> str:
    """Return the stream of a contract of the embedded back office."""
    return f"contract-{contract_id}"


def access_stream(key_id: str) -> str:
    """Return the stream of an API key."""
    return f"access-{key_id}"


def audit_stream(at: Instant) -> str:
    """Return the stream of the audited commands of the UTC day of ``at``."""
    return f"audit-{utc_day_of(at)}"


def security_stream(at: Instant) -> str:
    """Return the stream of the security events of the UTC day of ``at``."""
    return f"security-{utc_day_of(at)}"


def connectivity_stream(station_id: str, at: Instant) -> str:
    """Return the stream of what a station tells of itself in the month of ``at``."""
    return f"connectivity-{station_id}-{utc_day_of(at)[:7]}"


def transaction_stream(station_id: str, key: str) -> str:
    """Return the stream of a station's own transaction, by what tells it from others.

    A station may name its transactions by any text, so the name is a digest of it.
    """
    digest = hashlib.sha256(f"{station_id}/{key}".encode()).hexdigest()
    return f"transaction-{digest[:32]}"


def incentive_stream(zone_id: str) -> str:
    """Return the stream of the incentives of a zone."""
    return f"incentive-{zone_id}"


def activity_stream(activity_id: str) -> str:
    """Return the stream of an activity."""
    return f"activity-{activity_id}"

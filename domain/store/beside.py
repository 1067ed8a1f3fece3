"""Rows beside the chain, of ledger and vault: each ends with a digest of itself."""

import sqlite3
from hashlib import sha256

import msgspec

from domain.errors import UnknownSchema

_pack = msgspec.msgpack.Encoder().encode


def with_digest(*values: str | int | bytes | None) -> tuple[object, ...]:
    """Return the columns of a row and the digest that tells a changed one."""
    return (*values, sha256(_pack(values)).digest())


def check_digests(connection: sqlite3.Connection, table: str) -> None:
    """Refuse a file of another release, whose rows beside the chain have no digest."""
    columns = connection.execute(f"PRAGMA table_info({table})")
    if "digest" not in [name for _, name, *_ in columns]:
        raise UnknownSchema(f"table {table} has no digests: it is of another release")

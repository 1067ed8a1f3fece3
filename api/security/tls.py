"""TLS by files; client certificates, and a count of those that expired (7.9.4.6)."""

import ssl
from collections.abc import Callable
from pathlib import Path

import msgspec

from domain.errors import InvalidValue

# X509_V_ERR_CERT_HAS_EXPIRED
_EXPIRED = 10


class TlsFiles(msgspec.Struct, frozen=True):
    """Certificate and key of the server; with ``client_ca`` clients need one too."""

    cert: Path
    key: Path
    client_ca: Path | None = None

    def settings(self) -> dict[str, object]:
        """Return uvicorn's settings."""
        found: dict[str, object] = {
            "ssl_certfile": str(self.cert),
            "ssl_keyfile": str(self.key),
        }
        if self.client_ca is not None:
            found["ssl_ca_certs"] = str(self.client_ca)
            found["ssl_cert_reqs"] = ssl.CERT_REQUIRED
        return found

    def station_context(self) -> ssl.SSLContext:
        """Return the context for stations, of which not all have a certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.key)
        if self.client_ca is not None:
            context.load_verify_locations(self.client_ca)
            context.verify_mode = ssl.CERT_OPTIONAL
        return context


def tls_files(
    cert: Path | None, key: Path | None, client_ca: Path | None, option: str = "--tls"
) -> TlsFiles | None:
    """Return the files of TLS; None without any.

    Some without others are refused, and files that are not what they are given for.
    ``option`` is how the options' names begin.
    """
    if cert is None and key is None and client_ca is None:
        return None
    if cert is None or key is None:
        raise InvalidValue(f"{option}-cert and {option}-key are given together")
    for what, path in (("cert", cert), ("key", key), ("client-ca", client_ca)):
        if path is not None and not path.is_file():
            raise InvalidValue(f"{option}-{what} {path}: there is no such file")
    files = TlsFiles(cert, key, client_ca)
    try:
        files.station_context()
    except OSError as error:  # SSLError, too
        options = f"{option}-cert, {option}-key, {option}-client-ca"
        raise InvalidValue(f"{options}: {error}") from None
    return files


def harden(
    context: ssl.SSLContext,
    expired: Callable[[], None],
    strange: Callable[[], None] = lambda: None,
) -> None:
    """Refuse old versions of TLS, and tell of client certificates that do not do.

    Either they expired, or they are not of an authority that is trusted.
    """

    class Watched(ssl.SSLObject):
        """One connection's TLS."""

        def do_handshake(self) -> None:
            """Shake hands; the one place where a certificate is found bad."""
            try:
                super().do_handshake()
            except ssl.SSLCertVerificationError as error:
                (expired if error.verify_code == _EXPIRED else strange)()
                raise

    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslobject_class = Watched

"""TLS by files and behind a proxy, with real servers and certificates made here."""

import datetime
import ipaddress
import logging
import re
import socket
import ssl
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from api.serving.logs import ACCESS
from tests.api.small_day import run
from tests.api.test_cli_serve import Server, key_file, serving

NOW = datetime.datetime.now(datetime.UTC)
PROXY = ["--behind-proxy", "127.0.0.1"]
LONG = datetime.timedelta(days=30)


class Signed(NamedTuple):
    """A certificate and its key."""

    cert: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Write both as PEM; return where."""
        cert, key = folder / f"{name}.crt", folder / f"{name}.key"
        cert.write_bytes(self.cert.public_bytes(serialization.Encoding.PEM))
        key.write_bytes(
            self.key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return cert, key


def signed(
    name: str, by: Signed | None = None, until: datetime.datetime = NOW + LONG
) -> Signed:
    """Return a certificate; an authority's own without ``by``."""
    key = ec.generate_private_key(ec.SECP256R1())
    signer = by.key if by else key
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.cert.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - 2 * LONG)
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(by is None, None), critical=True)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()),
            critical=False,
        )
    )
    if by is None:
        built = built.add_extension(
            x509.KeyUsage(
                digital_signature=True, content_commitment=False,
                key_encipherment=False, data_encipherment=False, key_agreement=False,
                key_cert_sign=True, crl_sign=True, encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )  # fmt: skip
    else:
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        built = built.add_extension(x509.SubjectAlternativeName([address]), False)
        built = built.add_extension(x509.ExtendedKeyUsage(usage), False)
    return Signed(built.sign(signer, hashes.SHA256()), key)


@pytest.fixture(scope="module")
def authority() -> Signed:
    return signed("authority")


@pytest.fixture
def tls(tmp_path: Path, authority: Signed) -> list[str]:
    """Return the options of a server with a certificate for 127.0.0.1."""
    authority.write(tmp_path, "ca")
    cert, key = signed("server", authority).write(tmp_path, "server")
    return ["--tls-cert", str(cert), "--tls-key", str(key)]


def trusting(folder: Path, client: Signed | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    if client is not None:
        context.load_cert_chain(*client.write(folder, "client"))
    return context


@pytest.mark.requirement("7.9.4.2")
def test_a_server_with_a_certificate_speaks_tls_only(
    tmp_path: Path, tls: list[str]
) -> None:
    environment = key_file(tmp_path / "key", 1)
    verify = trusting(tmp_path)
    options = ["--create", "--host", "127.0.0.1", *tls]
    with serving(
        tmp_path / "live", *options, environment=environment, verify=verify
    ) as server:
        assert server.address.startswith("https://")
        assert server.get("/zones").status_code == 200
        with pytest.raises(httpx.HTTPError):
            httpx.get(server.address.replace("https", "http") + "/v1/health")
        with pytest.raises(ssl.SSLError):
            old_handshake(server)


def old_handshake(server: Server) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.options &= ~ssl.OP_NO_TLSv1_1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    port = int(server.address.rpartition(":")[2])
    with (
        socket.create_connection(("127.0.0.1", port), 10) as plain,
        context.wrap_socket(plain),
    ):
        pass


@pytest.mark.requirement("7.9.4.2")
@pytest.mark.requirement("7.9.4.6b")
def test_clients_need_a_good_certificate_and_expired_ones_are_counted(
    tmp_path: Path, tls: list[str], authority: Signed
) -> None:
    environment = key_file(tmp_path / "key", 1)
    good = trusting(tmp_path, signed("client", authority))
    expired = trusting(tmp_path, signed("old", authority, NOW - LONG))
    stranger = trusting(tmp_path, signed("stranger", signed("elsewhere")))
    options = ["--create", *tls, "--tls-client-ca", str(tmp_path / "ca.crt")]
    with serving(
        tmp_path / "live", *options, environment=environment, verify=good
    ) as server:
        assert server.get("/zones").status_code == 200
        for context in (expired, expired, stranger, trusting(tmp_path)):
            with pytest.raises(httpx.HTTPError):
                httpx.get(f"{server.address}/v1/health", verify=context)
        body = {"label": "auditor", "roles": ["auditor"], "zones": ["*"]}
        issued = httpx.post(
            f"{server.address}/v1/keys",
            json=body,
            headers=server.headers | {"Idempotency-Key": "a"},
            verify=good,
        )
        metrics = server.get("/metrics").text
        auditor = {"Authorization": f"Bearer {issued.json()['key']}"}
        counted = re.findall(r'kind="expired-certificate"\} (\S+)', metrics)
        assert [float(count) for count in counted] == [2.0]
        events = httpx.get(
            f"{server.address}/v1/security/events",
            params={"kind": "expired-certificate"},
            headers=auditor,
            verify=good,
        ).json()["items"]
        assert len(events) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--tls-cert", "{server.crt}"], "together"),
        (["--tls-key", "{server.key}"], "together"),
        (["--tls-client-ca", "{ca.crt}"], "together"),
        (["--tls-cert", "nowhere", "--tls-key", "{server.key}"], "no such file"),
        (
            ["--tls-cert", "{server.crt}", "--tls-key", "{server.key}", *PROXY],
            "ends there",
        ),
        (["--tls-cert", "{server.key}", "--tls-key", "{server.crt}"], "--tls-cert"),
    ],
)
def test_tls_options_that_make_no_sense_are_refused(
    tmp_path: Path,
    tls: list[str],
    options: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in key_file(tmp_path / "key", 1).items():
        monkeypatch.setenv(name, value)
    given = [re.sub(r"\{(.*)\}", rf"{tmp_path}/\1", option) for option in options]
    store = f"sqlite:///{tmp_path / 'live'}"
    result = run("serve", "--store", store, "--create", "--port", "0", *given)
    assert result.exit_code == 2
    assert said in result.stderr
    # Nothing was made, and this process' log is as it was.
    assert not (tmp_path / "live").exists()
    assert not ACCESS.isEnabledFor(logging.INFO)


@pytest.mark.requirement("7.9.4.6c")
def test_only_the_named_proxy_says_where_requests_come_from(tmp_path: Path) -> None:
    told = {"X-Forwarded-For": "203.0.113.9"}
    for proxy, address in (("127.0.0.1", "203.0.113.9"), ("10.9.9.9", "127.0.0.1")):
        environment = key_file(tmp_path / f"key-{proxy}", 1)
        store = tmp_path / proxy
        options = ["--create", "--behind-proxy", proxy]
        with serving(store, *options, environment=environment) as server:
            assert "TLS ends at the proxy" in server.said
            body = {"label": "auditor", "roles": ["auditor"], "zones": ["*"]}
            issued = httpx.post(
                f"{server.address}/v1/keys",
                json=body,
                headers=server.headers | {"Idempotency-Key": "a"} | told,
            )
            auditor = {"Authorization": f"Bearer {issued.json()['key']}"}
            params = {"after": issued.json()["position"]}
            (entry,) = [
                entry
                for entry in httpx.get(
                    f"{server.address}/v1/audit", params=params, headers=auditor
                ).json()["items"]
                if entry["command_id"] == "a"
            ]
            assert entry["origin"]["address"] == address

"""DICOMweb over real sockets: encryption, certificates of clients, servers that break off."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from dicomlake.errors import Refused, UsageError
from dicomlake.settings import Source, Tls
from dicomlake.sources.dicomweb import DicomwebArchive
from dicomlake.testing.dicom import encode, image, uid

OBJECTS = [encode(image(SOPInstanceUID=uid("net", n))) for n in range(2)]
PARTS = b"".join(b"--b\r\n\r\n" + data + b"\r\n" for data in OBJECTS) + b"--b--"


class Handler(BaseHTTPRequestHandler):
    """Answers queries with nothing, and retrievals as `how` says."""

    protocol_version = "HTTP/1.1"
    how = "whole"

    def do_GET(self) -> None:
        if not self.path.partition("?")[0].endswith("/series/1.3"):
            self._send(b"[]", "application/dicom+json")
        elif self.how == "chunked":
            self._chunked(PARTS, end=True)
        elif self.how == "broken":
            self._chunked(PARTS[:-100], end=False)
        elif self.how == "short":
            self._send(PARTS[:-100], "multipart/related; boundary=b", len(PARTS))
        elif self.how == "silent":
            time.sleep(1.0)
            self.close_connection = True
        else:
            self._send(PARTS, "multipart/related; boundary=b")

    def _send(self, body: bytes, kind: str, length: int | None = None) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length or len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = length is not None

    def _chunked(self, body: bytes, *, end: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/related; boundary=b")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for at in range(0, len(body), 700):
            part = body[at : at + 700]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        self.wfile.write(b"0\r\n\r\n" if end else b"")
        self.close_connection = not end

    def log_message(self, *arguments: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    """Speaks TLS when it has a context; says nothing about those who break off."""

    context: ssl.SSLContext | None = None

    def get_request(self) -> tuple[Any, Any]:
        connection, address = super().get_request()
        connection.settimeout(5)
        if self.context is not None:
            connection = self.context.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        return connection, address

    def handle_error(self, request: Any, address: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    handler = type("Mine", (Handler,), {})
    server = Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def archive(server: Server, scheme: str = "http", host: str = "127.0.0.1", **more: Any) -> Any:
    url = f"{scheme}://{host}:{server.server_port}/dicom-web"
    return DicomwebArchive("pacs", Source(kind="dicomweb", url=url, timeout_s=0.5, **more))


@pytest.mark.parametrize("how", ["whole", "chunked"])
def test_objects(server: Server, how: str) -> None:
    server.RequestHandlerClass.how = how  # type: ignore[attr-defined]
    with archive(server) as pacs:
        for _ in range(2):
            found = [thing.fetch(0, thing.size) for thing in pacs.objects("1.2", "1.3")]
            assert found == OBJECTS


@pytest.mark.parametrize("how", ["broken", "short"])
def test_broken_off(server: Server, how: str) -> None:
    server.RequestHandlerClass.how = how  # type: ignore[attr-defined]
    with archive(server) as pacs:
        found = pacs.objects("1.2", "1.3")
        assert next(found).size == len(OBJECTS[0])
        with pytest.raises(Refused, match="pacs"):
            next(found)


def test_silence(server: Server) -> None:
    server.RequestHandlerClass.how = "silent"  # type: ignore[attr-defined]
    with archive(server) as pacs, pytest.raises(Refused, match=r"within 0\.5 s"):
        next(pacs.objects("1.2", "1.3"))


def test_nobody_there(server: Server) -> None:
    with archive(server) as pacs:
        server.shutdown()
        server.server_close()
        with pytest.raises(Refused, match="cannot be reached"):
            pacs.find("STUDY", {})


def test_proxies_of_the_environment_are_not_used(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with archive(server) as pacs:
        assert pacs.find("STUDY", {}).rows == []


class Authority:
    """Makes certificates."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.key = folder, ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
        self.certificate = self._certificate(self.name, self.key.public_key(), authority=True)
        self.path = self._written("ca", self.certificate, None)

    def pair(self, name: str, password: bytes | None = None) -> tuple[Path, Path]:
        """Files of a certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._certificate(subject, key.public_key())
        return self._written(name, certificate, None), self._key(name, key, password)

    def _certificate(self, subject: Any, key: Any, *, authority: bool = False) -> Any:
        now = datetime.datetime.now(datetime.UTC)
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        usage = x509.KeyUsage(True, False, False, False, False, authority, authority, False, False)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(authority, None), critical=True)
            .add_extension(x509.SubjectAlternativeName([address]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(issuer, critical=False)
            .add_extension(usage, critical=True)
            .sign(self.key, hashes.SHA256())
        )

    def _written(self, name: str, certificate: Any, _: None) -> Path:
        path = self.folder / f"{name}.pem"
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return path

    def _key(self, name: str, key: Any, password: bytes | None) -> Path:
        path = self.folder / f"{name}.key"
        secret: Any = (
            serialization.BestAvailableEncryption(password)
            if password
            else serialization.NoEncryption()
        )
        path.write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, secret)
        )
        return path


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def encrypted(server: Server, authority: Authority) -> Server:
    certificate, key = authority.pair("server")
    server.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority.path)
    server.context.load_cert_chain(certificate, key)
    return server


class TestEncryption:
    def test_an_authority_that_is_named(self, encrypted: Server, authority: Authority) -> None:
        with archive(encrypted, "https", tls=Tls(ca=authority.path)) as pacs:
            assert pacs.find("STUDY", {}).rows == []
            assert len(list(pacs.objects("1.2", "1.3"))) == 2

    def test_an_unknown_authority(self, encrypted: Server) -> None:
        with (
            archive(encrypted, "https") as pacs,
            pytest.raises(UsageError, match=r"not trusted .*\. Set ca under tls"),
        ):
            pacs.find("STUDY", {})

    def test_another_host_name(self, encrypted: Server, authority: Authority) -> None:
        tls = Tls(ca=authority.path)
        with (
            archive(encrypted, "https", "localhost", tls=tls) as pacs,
            pytest.raises(UsageError, match="not trusted"),
        ):
            pacs.find("STUDY", {})
        tls = Tls(ca=authority.path, check_hostname=False)
        with archive(encrypted, "https", "localhost", tls=tls) as pacs:
            assert pacs.find("STUDY", {}).rows == []

    def test_certificates_of_clients(self, encrypted: Server, authority: Authority) -> None:
        assert encrypted.context is not None
        encrypted.context.verify_mode = ssl.CERT_REQUIRED
        certificate, key = authority.pair("client")
        tls = Tls(ca=authority.path, certificate=certificate, key=key)
        with archive(encrypted, "https", tls=tls) as pacs:
            assert pacs.find("STUDY", {}).rows == []
        with (
            archive(encrypted, "https", tls=Tls(ca=authority.path)) as pacs,
            pytest.raises(UsageError, match="Set certificate and key"),
        ):
            pacs.find("STUDY", {})

    def test_files_that_are_wrong(self, encrypted: Server, authority: Authority) -> None:
        certificate, key = authority.pair("locked", b"password")
        for tls, says in (
            (Tls(ca=authority.path, certificate=certificate, key=key), "without a password"),
            (Tls(ca=key), "PEM"),
            (Tls(ca=Path("/not/there")), "cannot be read"),
        ):
            with (
                archive(encrypted, "https", tls=tls) as pacs,
                pytest.raises(UsageError, match=says),
            ):
                pacs.find("STUDY", {})

    def test_no_encryption_there(self, server: Server, authority: Authority) -> None:
        with (
            archive(server, "https", tls=Tls(ca=authority.path)) as pacs,
            pytest.raises(Refused),
        ):
            pacs.find("STUDY", {})

"""Encrypted associations with dcmtk, in both directions."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from dicomlake.contracts import Object
from dicomlake.contracts.archives import Sender
from dicomlake.errors import Refused, UsageError
from dicomlake.settings import ListenerSettings, Tls
from dicomlake.sources.dimse import syntaxes
from dicomlake.sources.dimse.archive import DimseArchive
from dicomlake.sources.dimse.association import Association, Peer, request
from dicomlake.sources.dimse.listener import StoreListener
from dicomlake.sources.dimse.tls import client
from dicomlake.testing.archives import free_port, wait_for_port
from tests.sources.pacs.dimse_made import dcmtk, ran, series_of, source

pytestmark = pytest.mark.service


def made(folder: Path, name: str, host: str = "127.0.0.1") -> tuple[Path, Path]:
    """A key and a certificate that signs itself."""
    key = rsa.generate_private_key(65537, 2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    today = datetime.datetime.now(datetime.UTC)
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(1))
        .not_valid_after(today + datetime.timedelta(9))
        .add_extension(alternative, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / f"{name}.key", folder / f"{name}.pem"
    paths[0].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    paths[1].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return paths


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    folder = tmp_path_factory.mktemp("tls")
    return {
        "server": made(folder, "server"),
        "client": made(folder, "client"),
        "elsewhere": made(folder, "elsewhere", "10.9.9.9"),
    }


def tls(pairs: dict[str, tuple[Path, Path]], mine: str, theirs: str, **values: bool) -> Tls:
    key, certificate = pairs[mine]
    return Tls(ca=pairs[theirs][1], key=key, certificate=certificate, **values)


@contextlib.contextmanager
def storescp(pairs: dict[str, tuple[Path, Path]], folder: Path, mine: str) -> Iterator[int]:
    port = free_port()
    key, certificate = pairs[mine]
    command = [dcmtk("storescp"), "-aet", "SCP", "-od", str(folder), "+tls", str(key)]
    command += [str(certificate), "+cf", str(pairs["client"][1]), str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for_port(port, process)
        yield port
    finally:
        process.terminate()
        process.wait()


def echo(port: int, settings: Tls) -> Association:
    peer = Peer("127.0.0.1", port, "SCP", "US", 5.0, client(settings))
    return request(peer, [(syntaxes.VERIFICATION, syntaxes.PLAIN)])


@pytest.mark.usefixtures("network", "dcmqrscp_installed")
def test_we_ask_an_archive_that_wants_certificates(
    pairs: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    with storescp(pairs, tmp_path, "server") as port:
        settings = tls(pairs, "client", "server")
        archive = DimseArchive("here", source(port, "SCP", tls=settings, timeout_s=5))
        archive.echo()
        assert next(archive.check()).works
        archive.close()
        with pytest.raises(UsageError, match=r"not trusted.*Set tls\.ca"):
            echo(port, tls(pairs, "client", "client"))
        with pytest.raises(Refused):
            echo(port, Tls(ca=pairs["server"][1]))


@pytest.mark.usefixtures("network", "dcmqrscp_installed")
def test_the_name_of_the_host_may_be_left_unchecked(
    pairs: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    with storescp(pairs, tmp_path, "elsewhere") as port:
        with pytest.raises(UsageError, match="not trusted"):
            echo(port, tls(pairs, "client", "elsewhere"))
        echo(port, tls(pairs, "client", "elsewhere", check_hostname=False)).release()


@pytest.mark.usefixtures("network", "dcmqrscp_installed")
def test_dcmtk_sends_to_our_listener(pairs: dict[str, tuple[Path, Path]], tmp_path: Path) -> None:
    got: list[int] = []

    def arrived(sender: Sender, found: Object) -> None:
        got.append(found.size)

    series_of(tmp_path, 5)
    settings = ListenerSettings(
        ae_title="LAKE", port=free_port(), any_caller=True, tls=tls(pairs, "server", "client")
    )
    with StoreListener(settings, arrived=arrived) as listener:
        for name, code in (("client", 0), ("elsewhere", 1)):
            key, certificate = (str(path) for path in pairs[name])
            arguments = ["+tls", key, certificate, "+cf", str(pairs["server"][1])]
            arguments += ["-aec", "LAKE", "127.0.0.1", str(listener.port), "+sd", str(tmp_path)]
            ran("storescu", *arguments, code=code)
        ran("echoscu", "-aec", "LAKE", "127.0.0.1", str(listener.port), code=1)
    assert len(got) == 5


@pytest.mark.usefixtures("network")
def test_settings_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be used"):
        client(Tls(ca=tmp_path / "nothing.pem"))
    settings = ListenerSettings(port=free_port(), tls=Tls())
    with pytest.raises(UsageError, match="needs a certificate"):
        StoreListener(settings, arrived=lambda sender, found: None).start()

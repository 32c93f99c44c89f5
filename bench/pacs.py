"""Archives: dicomlake against dcmtk's tools and plain HTTP, on one Orthanc in one run.

Everything runs on loopback, in a network namespace of its own, with TCP_NODELAY=1 on both ends:
this is what protocols cost at least, and no hospital. Candidates alternate; medians.
"""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pydicom

from bench.reader import ct_series
from dicomlake.contracts import Object
from dicomlake.contracts.archives import Archive
from dicomlake.jobs.pulling import pull
from dicomlake.jobs.requests import Request
from dicomlake.settings import ListenerSettings, Source, add_source
from dicomlake.sources.dicomweb import DicomwebArchive
from dicomlake.sources.dimse.archive import DimseArchive
from dicomlake.sources.dimse.listener import StoreListener
from dicomlake.testing.archives import (
    PLUGINS,
    Missing,
    Orthanc,
    enter_namespace,
    free_port,
    program,
    wait_for_port,
)

Rows = list[tuple[str, ...]]
NODELAY = {**os.environ, "TCP_NODELAY": "1"}
WADO = 'multipart/related; type="application/dicom"; transfer-syntax=*'


def dcmtk(name: str) -> str:
    """A tool of dcmtk; pynetdicom puts scripts of the same names beside our Python."""
    ours = str(Path(sys.executable).parent)
    places = [p for p in os.environ.get("PATH", "").split(os.pathsep) if p != ours]
    found = shutil.which(name, path=os.pathsep.join(places))
    if found is None:
        raise Missing(f"{name} of dcmtk is not installed")
    return found


def missing() -> str:
    """Why nothing can be measured here, or ""; moves this process into a network of its own."""
    try:
        program("Orthanc")
        for name in ("findscu", "getscu", "movescu", "storescu", "storescp"):
            dcmtk(name)
        if not Path(PLUGINS[0]).exists():
            raise Missing("orthanc-dicomweb is not installed")
        enter_namespace()
    except Missing as error:
        return f"Archives are left out: {error}."
    return ""


@dataclass
class Series:
    """A series in the archive: so many objects of one size."""

    number: int
    count: int
    edge: int
    uids: list[str] = field(default_factory=list)

    @property
    def study(self) -> str:
        return f"1.2.4.{self.number}"

    @property
    def uid(self) -> str:
        return f"1.2.3.{self.number}"

    def objects(self) -> Iterator[bytes]:
        """CT images of 262 elements each, with noise as pixels."""
        chance = random.Random(self.number)
        for data in ct_series(self.count, self.number):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                image = pydicom.dcmread(io.BytesIO(data))
                image.StudyInstanceUID = self.study
                image.AccessionNumber = f"A{self.number}"
                image.Rows = image.Columns = self.edge
                image.PixelData = chance.randbytes(2 * self.edge * self.edge)
                held = io.BytesIO()
                image.save_as(held)
                self.uids.append(str(image.SOPInstanceUID))
                yield held.getvalue()


def alternating(candidates: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each candidate, one after the other in each round, once to warm up."""
    for run in candidates.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, run in candidates.items():
            began = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - began)
    return {name: statistics.median(taken) for name, taken in times.items()}


def measure(rounds: int = 5, count: int = 200, pulled: int = 8) -> dict[str, tuple[Any, Rows]]:
    """Tables by title: what is in their head, and their rows."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        ours, theirs = free_port(), free_port()
        with Orthanc(folder / "orthanc", {"LAKE": ours, "MOVESCU": theirs}) as orthanc:
            sizes = {"512 KB": Series(1, count, 512), "128 KB": Series(2, count, 256)}
            for series in sizes.values():
                _seed(orthanc, series)
            bench = _Bench(folder, orthanc, ours, theirs, rounds)
            whole: Rows = []
            sent: Rows = []
            for size, series in sizes.items():
                whole += bench.complete(series, f"{count} x {size}")
            headers = bench.headers(sizes["512 KB"])
            for size, series in sizes.items():
                sent += bench.listener(series, f"{count} x {size}")
            many = [Series(n + 10, count, 256) for n in range(pulled)]
            for series in many:
                _seed(orthanc, series)
            to_lake = bench.to_lake(many, min(rounds, 3))
    return {
        "A whole series out of Orthanc": (("", "ms", "objects/s", "x peer"), whole),
        "Headers of a series out of Orthanc": (("", "ms", "x the archive's own"), headers),
        "Objects sent by storescu": (("", "objects/s", "x storescp"), sent),
        "From the archive to a committed lake": (("", "s", "series/s", "objects/s"), to_lake),
    }


def _seed(orthanc: Orthanc, series: Series) -> None:
    for data in series.objects():
        orthanc.post("/instances", data)


@dataclass
class _Bench:
    folder: Path
    orthanc: Orthanc
    ours: int
    theirs: int
    rounds: int

    def dimse(self, retrieve: str = "get", listener: Any = None) -> DimseArchive:
        source = Source(
            kind="dimse",
            host="127.0.0.1",
            port=self.orthanc.dicom,
            called="ORTHANC",
            calling="LAKE",
            retrieve=retrieve,  # type: ignore[arg-type]
        )
        return DimseArchive("bench", source, listener)

    def web(self) -> DicomwebArchive:
        return DicomwebArchive("bench", Source(kind="dicomweb", url=self.orthanc.dicomweb))

    def tool(self, name: str, *words: str, out: bool = False) -> None:
        """One of dcmtk's tools against the archive; `out`: what comes is written to files."""
        command = [dcmtk(name), "-S", "-aec", "ORTHANC", *words]
        if out:
            place = self.folder / "got"
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            command += ["-od", str(place)]
        ends = [] if "--version" in words else ["127.0.0.1", str(self.orthanc.dicom)]
        subprocess.run([*command, *ends], env=NODELAY, check=True, capture_output=True)

    # Whole series

    def complete(self, series: Series, what: str) -> Rows:
        """A whole series by C-GET, C-MOVE and DICOMweb; ours opens a new association each time."""
        keys = ["-k", "QueryRetrieveLevel=SERIES", "-k", f"StudyInstanceUID={series.study}"]
        keys += ["-k", f"SeriesInstanceUID={series.uid}"]
        path = f"{self.orthanc.dicomweb}/studies/{series.study}/series/{series.uid}"
        settings = ListenerSettings(ae_title="LAKE", port=self.ours)
        with (
            StoreListener(settings, callers={"ORTHANC"}, arrived=_refuse) as listener,
            httpx.Client(timeout=60) as client,
        ):
            move = ["-aet", "LAKE", "-aem", "MOVESCU", "+P", str(self.theirs)]
            accept = {"Accept": WADO, "Accept-Encoding": "identity"}
            candidates: dict[str, Callable[[], object]] = {
                "C-GET, dcmtk getscu, to nowhere": lambda: self.tool("getscu", *keys, "--ignore"),
                "C-GET, dicomlake, in memory": lambda: _read(self.dimse(), series),
                "C-GET, dcmtk getscu, to files": lambda: self.tool("getscu", *keys, "+B", out=True),
                "C-GET, dicomlake, to files": lambda: self.files(self.dimse(), series),
                "C-GET, pynetdicom, in memory": lambda: _pynetdicom(self.orthanc.dicom, series),
                "C-MOVE, dcmtk movescu, to nowhere": lambda: self.tool(
                    "movescu", *move, *keys, "--ignore"
                ),
                "C-MOVE, dicomlake, in memory": lambda: _read(self.dimse("move", listener), series),
                "DICOMweb, httpx reads the same URL": lambda: _drain(client, path, accept),
                "DICOMweb, dicomlake, in memory": lambda: _read(self.web(), series),
            }
            times = alternating(candidates, self.rounds)
        peers = {
            "C-GET, dicomlake, in memory": "C-GET, dcmtk getscu, to nowhere",
            "C-GET, pynetdicom, in memory": "C-GET, dcmtk getscu, to nowhere",
            "C-GET, dicomlake, to files": "C-GET, dcmtk getscu, to files",
            "C-MOVE, dicomlake, in memory": "C-MOVE, dcmtk movescu, to nowhere",
            "DICOMweb, dicomlake, in memory": "DICOMweb, httpx reads the same URL",
        }
        rows: Rows = []
        for name, seconds in times.items():
            faster = f"{times[peers[name]] / seconds:.2f}" if name in peers else "1"
            rate = f"{series.count / seconds:,.0f}"
            rows.append((f"{what}: {name}", f"{seconds * 1000:,.0f}", rate, faster))
        return rows

    def files(self, archive: Archive, series: Series) -> None:
        place = self.folder / "ours"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        count = 0
        for thing in archive.objects(series.study, series.uid):
            (place / str(count)).write_bytes(thing.fetch(0, thing.size))
            count += 1
        archive.close()
        assert count == series.count

    # Headers

    def headers(self, series: Series) -> Rows:
        """The cheapest way to headers; the peers send the same requests, and do nothing else.

        The smallest clients of C-GET are dcmtk's tools. Half of their time is the start of a
        process, so that of `--version` is taken off; they still open an association each time,
        which we keep open. So one object is also found and read by the archive's own REST
        service: that is what the archive itself needs for it.
        """
        root = f"{self.orthanc.dicomweb}/studies/{series.study}/series/{series.uid}"
        first = f"{root}/instances?limit=1&includefield=SOPInstanceUID"
        asked = {"Accept": "application/dicom+json"}
        image = ["-k", "QueryRetrieveLevel=IMAGE", "-k", f"StudyInstanceUID={series.study}"]
        image += ["-k", f"SeriesInstanceUID={series.uid}"]
        one = [*image, "-k", f"SOPInstanceUID={series.uids[0]}"]
        keys = {"StudyInstanceUID": series.study, "SeriesInstanceUID": series.uid}
        web, dimse = self.web(), self.dimse()
        with httpx.Client(timeout=60) as client:

            def first_then_header() -> None:
                found = client.get(first, headers=asked).json()
                uid = found[0]["00080018"]["Value"][0]
                client.get(f"{root}/instances/{uid}/metadata", headers=asked).raise_for_status()

            number = self.orthanc.post("/tools/lookup", series.uid.encode())[0]["ID"]
            rest = f"{self.orthanc.url}/series/{number}"

            def found_and_read() -> None:
                first = client.get(rest).json()["Instances"][0]
                plain = {"Accept-Encoding": "identity"}
                client.get(f"{self.orthanc.url}/instances/{first}/file", headers=plain).read()

            candidates: dict[str, Callable[[], object]] = {
                "web all, peer": lambda: client.get(f"{root}/metadata", headers=asked).read(),
                "web all": lambda: _headers(web, series),
                "web one, peer": first_then_header,
                "web one": lambda: _headers(web, series, first=True),
                "start": lambda: self.tool("getscu", "--version"),
                "get one, peer": lambda: self.tool("getscu", *one, "--ignore"),
                "get one": lambda: _read(dimse, series, series.uids[:1], keep=True),
                "find, peer": lambda: self.tool("findscu", *image, "-k", "SOPInstanceUID"),
                "find": lambda: dimse.find("IMAGE", keys, ("SOPInstanceUID",), limit=1),
                "rest, peer": found_and_read,
                "dimse one": lambda: _headers(dimse, series),
            }
            times = alternating(candidates, max(2 * self.rounds, 5))
        dimse.close()
        web.close()
        start = times["start"]
        times["get one, peer"] -= start
        times["find, peer"] -= start
        count = series.count
        named = (
            ("web all, peer", f"DICOMweb, metadata of all {count}: httpx alone", ""),
            ("web all", f"DICOMweb, metadata of all {count}: dicomlake", "web all, peer"),
            ("web one, peer", "DICOMweb, one object found and its metadata: httpx alone", ""),
            ("web one", "DICOMweb, one object found and its metadata: dicomlake", "web one, peer"),
            ("get one, peer", "C-GET of one object of 512 KB: getscu less its start", ""),
            ("get one", "C-GET of one object of 512 KB: dicomlake", "get one, peer"),
            ("find, peer", f"C-FIND of all {count} objects: findscu less its start", ""),
            ("find", "C-FIND of the first of them: dicomlake", "find, peer"),
            ("rest, peer", "one object found and read by the archive's REST: httpx alone", ""),
            ("dimse one", "one object found by C-FIND, then C-GET: dicomlake", "rest, peer"),
        )
        return [
            (text, f"{times[n] * 1000:,.1f}", f"{times[n] / times[peer]:.2f}" if peer else "1")
            for n, text, peer in named
        ]

    # Objects that are sent to us

    def listener(self, series: Series, what: str) -> Rows:
        """Objects per second that one storescu, or four at a time, can send."""
        parts = self.folder / f"send{series.number}"
        for number, data in enumerate(series.objects()):
            place = parts / str(number % 4)
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{number}.dcm").write_bytes(data)
        rows: Rows = []
        for senders in (1, 4):
            ports = {name: free_port() for name in ("storescp", "lake", "keeps", "pynetdicom")}
            with (
                self.storescp(ports["storescp"]),
                self.receiver(ports["lake"], keep=False),
                self.receiver(ports["keeps"], keep=True),
                self.pynetdicom(ports["pynetdicom"]),
            ):
                candidates: dict[str, Callable[[], object]] = {
                    name: partial(_send, parts, port, senders) for name, port in ports.items()
                }
                times = alternating(candidates, self.rounds)
            texts = {
                "storescp": "storescp writes files",
                "lake": "dicomlake, header read, in the journal",
                "keeps": "dicomlake, that and the object kept as a file",
                "pynetdicom": "pynetdicom writes files",
            }
            for name, seconds in times.items():
                ratio = f"{times['storescp'] / seconds:.2f}"
                rate = f"{series.count / seconds:,.0f}"
                rows.append((f"{what}, {senders} at a time: {texts[name]}", rate, ratio))
        return rows

    @contextmanager
    def running(self, command: list[str], port: int) -> Iterator[None]:
        process = subprocess.Popen(
            command, env=NODELAY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            wait_for_port(port, process)
            yield
        finally:
            process.terminate()
            process.wait(20)

    def storescp(self, port: int) -> Any:
        place = self.folder / f"storescp{port}"
        place.mkdir()
        words = ["--fork", "-aet", "LAKE", "+B", "-od", str(place), str(port)]
        return self.running([dcmtk("storescp"), *words], port)

    def receiver(self, port: int, *, keep: bool) -> Any:
        lake = self.folder / f"received{port}"
        said = json.dumps({"lake": str(lake), "port": port, "keep": keep})
        return self.running([sys.executable, "-c", _RECEIVER, said], port)

    def pynetdicom(self, port: int) -> Any:
        place = self.folder / f"pynetdicom{port}"
        place.mkdir()
        return self.running([sys.executable, "-c", _PYNETDICOM, str(port), str(place)], port)

    # The whole way

    def to_lake(self, many: list[Series], rounds: int) -> Rows:
        """Pulling studies into a new lake until they are committed, processes started anew."""
        found: Rows = []
        objects = sum(series.count for series in many)
        one = Request("web", {"StudyInstanceUID": (many[0].study,)})
        candidates: dict[str, Callable[[], object]] = {
            "one series, headers by DICOMweb, 1 worker": lambda: self.pulled(one, 1)
        }
        asked = {"StudyInstanceUID": tuple(series.study for series in many)}
        texts = {
            ("web", "headers"): "headers by DICOMweb",
            ("web", "complete"): "objects by DICOMweb",
            ("get", "headers"): "one object per series by C-GET",
            ("get", "complete"): "objects by C-GET",
        }
        for (source, depth), text in texts.items():
            for workers in (1, 2):
                request = Request(source, asked, depth=depth)
                label = f"{len(many)} series, {text}, {workers} worker{'s'[: workers - 1]}"
                candidates[label] = partial(self.pulled, request, workers)
        for name, seconds in alternating(candidates, rounds).items():
            series = 1 if name.startswith("one") else len(many)
            brought = series if "one object" in name else objects * series // len(many)
            rates = (f"{series / seconds:,.1f}", f"{brought / seconds:,.0f}")
            found.append((name, f"{seconds:,.1f}", *rates))
        return found

    def pulled(self, request: Request, workers: int) -> None:
        lake = self.folder / "lake"
        shutil.rmtree(lake, ignore_errors=True)
        dimse = {"kind": "dimse", "host": "127.0.0.1", "port": self.orthanc.dicom}
        add_source(lake, "web", {"kind": "dicomweb", "url": self.orthanc.dicomweb})
        add_source(lake, "get", {**dimse, "called": "ORTHANC", "calling": "LAKE"})
        did = pull(lake, request, workers=workers)
        assert did.series == len(request.keys["StudyInstanceUID"])
        assert not did.missing


def _refuse(sender: object, thing: Object) -> None:
    raise AssertionError("nobody sends anything that was not asked for")


def _read(
    archive: Archive, series: Series, uids: Iterable[str] = (), *, keep: bool = False
) -> None:
    """Every byte of every object, in memory."""
    wanted = tuple(uids)
    count = 0
    for thing in archive.objects(series.study, series.uid, wanted):
        assert len(thing.fetch(0, thing.size)) == thing.size
        count += 1
    assert count == (len(wanted) or series.count)
    if not keep:
        archive.close()


def _headers(archive: Archive, series: Series, *, first: bool = False) -> None:
    for thing in archive.headers(series.study, series.uid, first=first):
        assert thing.header is not None or thing.fetch(0, thing.size)


def _drain(client: httpx.Client, path: str, headers: dict[str, str]) -> None:
    with client.stream("GET", path, headers=headers) as answer:
        answer.raise_for_status()
        for _ in answer.iter_bytes():
            pass


def _send(parts: Path, port: int, senders: int) -> None:
    """All objects, by one storescu after the other or by four at a time."""
    words = [dcmtk("storescu"), "-aec", "LAKE", "-aet", "SENDER", "127.0.0.1", str(port)]
    folders = [str(path) for path in sorted(parts.iterdir())]
    commands = [[*words, "+sd", *folders]] if senders == 1 else []
    commands = commands or [[*words, "+sd", place] for place in folders]
    running = [
        subprocess.Popen(c, env=NODELAY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for c in commands
    ]
    if any([process.wait() for process in running]):
        raise RuntimeError("storescu failed")


def _pynetdicom(port: int, series: Series) -> None:
    """The same series by pynetdicom's C-GET, as fast as it can: bytes are taken undecoded."""
    from pydicom.dataset import Dataset
    from pynetdicom import AE, build_role, evt
    from pynetdicom.sop_class import (
        CTImageStorage,  # type: ignore[attr-defined]
        StudyRootQueryRetrieveInformationModelGet,  # type: ignore[attr-defined]
    )

    came = []
    ae = AE(ae_title="LAKE")
    ae.add_requested_context(StudyRootQueryRetrieveInformationModelGet)
    ae.add_requested_context(CTImageStorage, "1.2.840.10008.1.2.1")

    def taken(event: Any) -> int:
        came.append(len(event.encoded_dataset()))
        return 0

    association = ae.associate(
        "127.0.0.1",
        port,
        ae_title="ORTHANC",
        ext_neg=[build_role(CTImageStorage, scp_role=True)],
        evt_handlers=[(evt.EVT_C_STORE, taken)],
    )
    asked = Dataset()
    asked.QueryRetrieveLevel = "SERIES"
    asked.StudyInstanceUID, asked.SeriesInstanceUID = series.study, series.uid
    for _ in association.send_c_get(asked, StudyRootQueryRetrieveInformationModelGet):
        pass
    association.release()
    assert len(came) == series.count


_RECEIVER = """
import json, signal, sys, threading
from pathlib import Path
from dicomlake.jobs.reception import receiving
from dicomlake.settings import ListenerSettings, Settings

said = json.loads(sys.argv[1])
asked = ListenerSettings(ae_title="LAKE", port=said["port"], keep=said["keep"], callers=("SENDER",))
stopped = threading.Event()
signal.signal(signal.SIGTERM, lambda number, frame: stopped.set())
Path(said["lake"]).mkdir()
with receiving(Path(said["lake"]), Settings(listener=asked)):
    stopped.wait()
"""
_PYNETDICOM = """
import itertools, socket, sys
from pynetdicom import AE, AllStoragePresentationContexts, evt

numbers = itertools.count()

def opened(event):
    event.assoc.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

def stored(event):
    with open(f"{sys.argv[2]}/{next(numbers)}.dcm", "wb") as file:
        file.write(event.encoded_dataset())
    return 0

ae = AE(ae_title="LAKE")
ae.supported_contexts = AllStoragePresentationContexts
handlers = [(evt.EVT_CONN_OPEN, opened), (evt.EVT_C_STORE, stored)]
ae.start_server(("127.0.0.1", int(sys.argv[1])), evt_handlers=handlers)
"""

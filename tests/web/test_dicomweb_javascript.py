"""The client of DICOMweb for JavaScript, in a real browser, against a real server on loopback."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest

import dicomlake
from dicomlake.api import Lake

from .walks import chromium, need, served

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = [pytest.mark.service, pytest.mark.filterwarnings("ignore::UserWarning")]

CLIENT = Path(__file__).parents[2] / "ui/node_modules/dicomweb-client/build/dicomweb-client.js"
_START = """root => {
  window.client = new DICOMwebClient.api.DICOMwebClient({ url: root });
  window.sizes = parts => parts.map(part => part.byteLength);
  window.head = found => [...new Uint8Array([].concat(found)[0]).slice(0, 2)];
  window.uid = (row, tag) => row[tag].Value[0];
}"""
_EVERYTHING = """async ([study, series, sop]) => {
  const at = { studyInstanceUID: study, seriesInstanceUID: series, sopInstanceUID: sop };
  const many = mediaTypes => ({ ...at, mediaTypes });
  const octets = [{ mediaType: "application/octet-stream", transferSyntaxUID: "*" }];
  const [metadata] = await client.retrieveInstanceMetadata(at);
  const bulk = await client.retrieveBulkData({ BulkDataURI: metadata["7FE00010"].BulkDataURI });
  const large = await client.retrieveInstanceRendered(at);
  const small = await client.retrieveInstanceThumbnail(at);
  const frame = { ...many([{ mediaType: "image/jpeg" }]), frameNumbers: [1] };
  return {
    study: (await client.retrieveStudyMetadata({ studyInstanceUID: study })).length,
    series: (await client.retrieveSeriesMetadata(at)).map(row => uid(row, "00080018")),
    objects: sizes(await client.retrieveSeries(at)),
    whole: (await client.retrieveStudy(at)).length,
    object: (await client.retrieveInstance(at)).byteLength,
    frames: sizes(await client.retrieveInstanceFrames({ ...many(octets), frameNumbers: [1] })),
    bulk: sizes([].concat(bulk)),
    rendered: head(large),
    thumbnail: head(small),
    picture: head(await client.retrieveInstanceFramesRendered(frame)),
    stored: [...new Uint8Array((await client.retrieveInstanceFrames(
      { ...many(octets), frameNumbers: [1] }))[0])],
  };
}"""
_PAGES = """async ([level, limit]) => {
  const search = queryParams => ({ study: () => client.searchForStudies({ queryParams }),
    series: () => client.searchForSeries({ queryParams }),
    instance: () => client.searchForInstances({ queryParams }) })[level]();
  const tag = { study: "0020000D", series: "0020000E", instance: "00080018" }[level];
  const found = [];
  for (let offset = 0; offset < 100000; offset += limit) {
    const rows = await search({ limit, offset });
    if (!rows || rows.length === 0) return found;
    found.push(...rows.map(row => uid(row, tag)));
  }
  throw new Error("pages without end");
}"""
_STORE = """async files => {
  const datasets = files.map(text => Uint8Array.from(atob(text), one => one.charCodeAt(0)).buffer);
  return client.storeInstances({ datasets });
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[sync_api.Browser]:
    need(CLIENT.is_file(), "dicomweb-client is missing: npm ci in ui/")
    with chromium() as found:
        yield found


def started(browser: sync_api.Browser, address: str) -> sync_api.Page:
    """A page of the service with a client of its DICOMweb."""
    page = browser.new_context(base_url=address, bypass_csp=True).new_page()
    page.goto("/api/health")
    page.add_script_tag(content=CLIENT.read_text("utf-8"))
    page.evaluate(_START, f"{address}/dicom-web")
    return page


@pytest.fixture(scope="module")
def page(browser: sync_api.Browser, pictures_lake: Path) -> Iterator[sync_api.Page]:
    with served(pictures_lake) as address:
        yield started(browser, address)


@pytest.fixture(scope="module")
def lake(pictures_lake: Path) -> Lake:
    return dicomlake.open(pictures_lake)


@pytest.mark.parametrize(
    ("level", "table", "column", "limit"),
    [("study", "series", "StudyInstanceUID", 7), ("series", "series", "SeriesInstanceUID", 25),
     ("instance", "instances", "SOPInstanceUID", 100)],
)  # fmt: skip
def test_loops_over_pages_end_with_everything_once(
    page: sync_api.Page, lake: Lake, level: str, table: str, column: str, limit: int
) -> None:
    found = page.evaluate(_PAGES, [level, limit])
    rows = lake.sql(f'select distinct "{column}" as uid from {table}').to_pylist()
    assert sorted(found) == sorted(row["uid"] for row in rows)
    assert len(found) > limit


def test_searches(page: sync_api.Page, lake: Lake) -> None:
    found = page.evaluate(
        "async () => (await client.searchForStudies({ queryParams: { ModalitiesInStudy: 'CT' } }))"
        ".map(row => uid(row, '0020000D'))"
    )
    rows = lake.sql(
        'select distinct "StudyInstanceUID" as u from series where "Modality" = \'CT\''
    ).to_pylist()
    assert sorted(found) == sorted(row["u"] for row in rows)
    series = page.evaluate(
        "async study => (await client.searchForSeries({ studyInstanceUID: study, "
        "queryParams: { Modality: 'CT' } })).map(row => row['00201209'].Value[0])",
        found[0],
    )
    counts = lake.sql(
        f"select instances from series where \"StudyInstanceUID\" = '{found[0]}' "
        "and \"Modality\" = 'CT'"
    ).to_pylist()
    assert sorted(series) == sorted(row["instances"] for row in counts)


def test_everything_is_retrieved(page: sync_api.Page, lake: Lake) -> None:
    (row,) = lake.sql(
        'select s."StudyInstanceUID" as study, s."SeriesInstanceUID" as series, instances as n, '
        'i."SOPInstanceUID" as sop, i.uri, i.size from series s join instances i using (series_id) '
        "where s.\"Modality\" = 'CT' and i.\"TransferSyntaxUID\" = '1.2.840.10008.1.2.1' "
        'and instances > 2 order by i."SOPInstanceUID" limit 1'
    ).to_pylist()
    (studied,) = lake.sql(
        f"select sum(instances) as n from series where \"StudyInstanceUID\" = '{row['study']}'"
    ).to_pylist()
    found: dict[str, Any] = page.evaluate(_EVERYTHING, [row["study"], row["series"], row["sop"]])
    file = pydicom.dcmread(row["uri"].removeprefix("file://"))
    assert found["study"] == found["whole"] == studied["n"]
    assert len(found["series"]) == len(found["objects"]) == row["n"]
    assert row["sop"] in found["series"]
    assert found["object"] == row["size"]
    length = file.Rows * file.Columns * file.BitsAllocated // 8
    assert found["frames"] == [length]
    assert bytes(found["stored"]) == file.PixelData[:length]
    assert found["bulk"] == [len(file.PixelData)]
    for picture in ("rendered", "thumbnail", "picture"):
        assert bytes(found[picture]) == b"\xff\xd8", picture


def test_objects_are_stored(
    browser: sync_api.Browser, tmp_path: Path, pictures_files: Path
) -> None:
    import base64

    files = [f for f in sorted(pictures_files.rglob("*.dcm")) if f.stat().st_size > 3000][:3]
    with served(tmp_path / "lake") as address:
        page = started(browser, address)
        page.evaluate(_STORE, [base64.b64encode(f.read_bytes()).decode() for f in files])
        wanted = {str(pydicom.dcmread(f, force=True).SOPInstanceUID) for f in files}
        until, found = time.monotonic() + 60, []
        while set(found) != wanted and time.monotonic() < until:
            found = page.evaluate(_PAGES, ["instance", 100])
        assert set(found) == wanted

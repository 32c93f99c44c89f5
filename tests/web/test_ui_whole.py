"""The whole way in a real browser: a question by clicking, a study, its report, and the link back;
by keys alone; without faults of accessibility; and what is said where nothing is there."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest

import dicomlake
from dicomlake.api import Lake
from dicomlake.jobs.index import index
from dicomlake.lake import Store
from dicomlake.terms import Code
from dicomlake.testing import hospital

from .walks import add, go_to, need, quiet_page, served, total

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.service
AXE = Path(__file__).parents[2] / "ui" / "node_modules" / "axe-core" / "axe.min.js"
WOMEN = (
    "Modality in ('MR') and MagneticFieldStrength >= 3 and BodyPartExamined in ('BRAIN', 'HEAD') "
    "and PatientSex in ('F') and PatientAge > 60Y"
)
LESION = Code("110702", "DCM", "White Matter T2 Hyperintensity")
QUESTION = f"{WOMEN} and *.[DCM:121071] within {LESION.scheme}:{LESION.value}"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    hospital.write(folder / "files", 40)
    index([folder / "files"], folder / "lake", workers=1)
    return folder / "lake"


@pytest.fixture(scope="module")
def lake(place: Path) -> Lake:
    return dicomlake.open(place)


def pick(page: sync_api.Page, value: str) -> None:
    """Tick a value below the open row."""
    page.locator(".picker-values button", has=page.get_by_text(value, exact=True)).first.click()


def test_brains_of_women_with_a_finding(page: sync_api.Page, lake: Lake) -> None:
    see = sync_api.expect
    page.goto("/")
    add(page, "modality", "Modality")
    pick(page, "MR")
    add(page, "magnetic field", "Magnetic Field Strength")
    page.get_by_label("Value", exact=True).fill("3")
    add(page, "body part", "Body Part Examined")
    pick(page, "BRAIN")
    pick(page, "HEAD")
    add(page, "sex", "Patient's Sex")
    pick(page, "F")
    add(page, "age", "Patient's Age")
    page.get_by_label("What Patient's Age is asked").select_option(">")
    page.get_by_label("Value", exact=True).last.fill("60Y")
    page.get_by_label("Names, tags, codes, values").fill("finding")
    group = page.locator(".term", has_text="Measurement Group")
    group.get_by_role("button", name="Add Finding to the question", exact=True).first.click()
    pick(page, "White Matter T2 Hyperintensity (DCM:110702)")
    for level in ("patient", "series", "instance", "study"):
        total(page, level).click()
        told = lake.query(QUESTION, level=level).total
        see(total(page, level)).to_have_text(f"{told:,}")
    studies = lake.query(QUESTION, level="study").total
    assert 0 < studies < lake.query(WOMEN, level="study").total
    kept = page.locator(".kept b")
    see(kept).to_have_count(6)
    see(kept.last).to_have_text(f"{studies:,}")
    see(kept.nth(4)).to_have_text(f"{lake.query(WOMEN, level='study').total:,}")
    see(page.locator(".sentence")).to_contain_text(LESION.meaning)
    see(page.locator(".table-row")).to_have_count(studies)
    link = page.url

    page.locator(".table-row").first.click()
    see(page.locator(".viewer canvas")).to_be_visible()
    beside = page.get_by_label("Reports and findings")
    see(beside.locator(".report")).to_contain_text(LESION.meaning)
    page.goto("about:blank")
    page.goto(link)
    see(total(page, "study")).to_have_text(f"{studies:,}")
    see(page.locator(".row-label")).to_have_count(6)


def test_by_keys_alone(page: sync_api.Page, lake: Lake) -> None:
    see = sync_api.expect
    page.goto("/")
    see(page.get_by_role("heading", name="What would you like to know?")).to_be_visible()

    def tab_to(found: sync_api.Locator, most: int = 60) -> None:
        for _ in range(most):
            if found.evaluate("one => one === document.activeElement"):
                return
            page.keyboard.press("Tab")
        pytest.fail(f"{found} is not reached by Tab")

    page.keyboard.press("/")
    see(page.get_by_label("Names, tags, codes, values")).to_be_focused()
    page.keyboard.type("modality")
    plus = page.get_by_role("button", name="Add Modality to the question", exact=True).first
    see(plus).to_be_attached()
    tab_to(plus)
    page.keyboard.press("Enter")
    value = page.locator(".picker-values button").first
    see(value).to_be_visible()
    tab_to(value, 200)
    name = value.locator(".picker-label").inner_text()
    page.keyboard.press("Enter")
    told = lake.query(f"Modality = '{name}'", level="study").total
    see(total(page, "study")).to_have_text(f"{told:,}")
    row = page.locator(".table-row").first
    see(row).to_contain_text(name)
    tab_to(row, 200)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    see(page.locator(".study-head h1")).to_be_visible()
    page.keyboard.press("g")
    page.keyboard.press("s")
    see(page.get_by_role("heading", name="Saved", exact=True)).to_be_visible()
    page.keyboard.press("Shift+?")
    see(page.get_by_role("dialog")).to_contain_text("These keys")
    page.keyboard.press("Escape")
    see(page.get_by_role("dialog")).to_have_count(0)


PAGES = [
    "/",
    f"/ask?q={quote(WOMEN)}",
    "/ask?q=Modality = 'CT'&level=series&view=gallery",
    "/ask?q=Modality = 'CT'&view=timeline",
    "/ask?q=Modality = 'NOTHING'",
    "/studies/STUDY",
    "/studies/ECG",
    "/studies/unknown",
    "/saved",
    "/jobs",
    "/sources",
    "/status",
    "/status?tab=failures",
    "/status?tab=lake",
]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_have_no_fault_of_accessibility(
    browser: sync_api.Browser, address: str, lake: Lake, scheme: str
) -> None:
    need(AXE.is_file(), "axe-core is missing: npm ci in ui")
    context = browser.new_context(
        base_url=address, locale="en-GB", color_scheme=scheme, reduced_motion="reduce"
    )
    page = context.new_page()
    page.set_default_timeout(30_000)
    faults: list[str] = []

    def look(where: str) -> None:
        page.wait_for_load_state("networkidle")
        sync_api.expect(page.locator("main .mantine-Loader-root")).to_have_count(0)
        sync_api.expect(page.locator("[data-busy=true]")).to_have_count(0)
        page.evaluate(AXE.read_text())
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        faults.extend(
            f"{where}: {one['id']} ({one['impact']}): {node['html'][:160]} {node['any'][:1]}"
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
            for node in one["nodes"][:3]
        )

    def study(where: str) -> str:
        rows = lake.query(where, level="study", show=["StudyInstanceUID"], limit=1).rows
        return str(rows.to_pylist()[0]["StudyInstanceUID"])

    known = {"STUDY": study(QUESTION), "ECG": study("Modality = 'ECG'")}
    for path in PAGES:
        for name, value in known.items():
            path = path.replace(name, value)
        page.goto(path)
        look(path)
        if path.endswith(known["STUDY"]):
            for tab in ("Attributes", "Header", "Compare"):
                page.get_by_role("tab", name=tab).click()
                look(f"{path} {tab}")
                if tab == "Header":
                    page.locator(".opener").nth(20).click()
                    look(f"{path} detail")
        if path.endswith(known["ECG"]):
            page.get_by_role("button", name="Caliper", exact=True).click()
            look(f"{path} caliper")
    page.goto("/ask?q=Modality = 'CT'")
    page.locator(".row-label").click()
    page.get_by_role("button", name="Columns").click()
    look("columns")
    context.close()
    assert not faults, "\n".join(sorted(set(faults)))


# What is said where nothing is there


def test_the_condition_that_leaves_nothing_is_named(page: sync_api.Page, lake: Lake) -> None:
    see = sync_api.expect
    page.goto("/ask?q=Modality = 'CT' and MagneticFieldStrength >= 3&level=series")
    see(page.get_by_role("heading", name="Nothing found")).to_be_visible()
    culprit = page.locator(".culprit")
    see(culprit).to_contain_text("MagneticFieldStrength >= 3")
    alone = lake.query("MagneticFieldStrength >= 3", level="series").total
    see(culprit).to_contain_text(f"by itself it finds {alone:,} series")
    culprit.get_by_role("button").click()
    told = lake.query("Modality = 'CT'", level="series").total
    see(total(page, "series")).to_have_text(f"{told:,}")
    page.wait_for_url("**muted=*")
    link = page.url
    page.goto("about:blank")
    page.goto(link)
    see(total(page, "series")).to_have_text(f"{told:,}")
    see(page.locator(".row-label")).to_have_count(2)
    page.get_by_role("button", name="Ask again: Magnetic Field Strength").click()
    see(page.get_by_role("heading", name="Nothing found")).to_be_visible()


def test_an_empty_lake_says_how_to_fill_it(browser: sync_api.Browser, tmp_path: Path) -> None:
    Store.create(tmp_path / "lake")
    with served(tmp_path / "lake") as address, quiet_page(browser, address) as page:
        page.goto("/")
        sync_api.expect(page.locator(".results, .state").last).to_contain_text("dicomlake index")


def test_a_service_that_is_gone_is_told(browser: sync_api.Browser, address: str) -> None:
    context = browser.new_context(base_url=address, locale="en-GB")
    page = context.new_page()
    page.goto("/")
    sync_api.expect(page.locator(".total b").first).not_to_have_text("·")
    page.route("**/api/**", lambda route: route.abort("connectionrefused"))
    go_to(page, "Sources")
    alert = page.get_by_role("alert").first
    sync_api.expect(alert).to_contain_text("The service does not answer")
    page.unroute("**/api/**")
    alert.get_by_role("button", name="Try again").click()
    sync_api.expect(page.get_by_role("article", name="pacs")).to_be_visible()
    context.close()


def test_a_list_comes_from_a_file_and_sentences_are_german(
    page: sync_api.Page, lake: Lake, tmp_path: Path
) -> None:
    see = sync_api.expect
    rows = lake.query("Modality = 'CT'", level="study", show=["AccessionNumber"]).rows.to_pylist()
    numbers = sorted({row["AccessionNumber"] for row in rows if row["AccessionNumber"]})
    file = tmp_path / "list.csv"
    many = [*numbers, *(f"NONE{n}" for n in range(20_000))]
    file.write_text("Name;AccessionNumber\n" + "".join(f'"x";{one}\n' for one in many))
    page.goto("/")
    add(page, "accession", "Accession Number")
    see(page.get_by_role("button", name="From a file")).to_be_visible()
    page.locator("input[type=file]").set_input_files(file)
    listed = ", ".join(f"'{one}'" for one in numbers)
    told = lake.query(f"AccessionNumber in ({listed})", level="study").total
    see(total(page, "study")).to_have_text(f"{told:,}")
    page.wait_for_url("**link=*")
    link = page.url
    page.get_by_role("button", name="Language").click()
    page.get_by_role("menuitem", name="Deutsch").click()
    see(page.locator(".sentence")).to_contain_text("Studien mit: Accession Number ist eines von")
    page.goto("about:blank")
    page.goto(link)
    see(total(page, "study")).to_have_text(f"{told:,}")

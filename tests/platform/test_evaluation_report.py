"""Tables, charts, gallery and page of an evaluation; the page is used in a real browser."""

from __future__ import annotations

import csv
import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from raylign.platform.evaluation.axes import Axes, Scale, fitted
from raylign.platform.evaluation.charts import error_curves, motion_charts, pareto_charts, reliability_charts
from raylign.platform.evaluation.gallery import GalleryItem, choose_items, thumbnail
from raylign.platform.evaluation.page import report_page
from raylign.platform.evaluation.page_tables import result_tables
from raylign.platform.evaluation.results import BY_NAME, CaseResult
from raylign.platform.evaluation.tables import csv_text, latex, markdown, plain_cells, print_tables, tables
from raylign.platform.report import pareto_front

EVIL = "</script><img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
METHODS = ("identity", "sift", EVIL)


def entry(mean: float, ci95: float = 0.5) -> dict[str, float]:
    return {"mean": mean, "std": 1.0, "ci95": ci95}


def row(method: str, dataset: str = "d_1", task: str = "pair", failed: int = 0, **metrics: float) -> dict[str, Any]:
    return {
        "method": method,
        "dataset": dataset,
        "task": task,
        "n": 40,
        "failed": failed,
        "metrics": {name: entry(mean) for name, mean in metrics.items()},
        "missing": {"corner_error": "it tells no homography"},
        "subsets": {
            subset: {"n": 20, "metrics": {name: {"mean": mean + shift} for name, mean in metrics.items()}}
            for subset, shift in (("hard", -1.0), ("easy", 1.0))
        },
    }


ROWS = [
    row("identity", psnr_overlap=12.3456, seconds=0.001, corner_error=30.0),
    row("a_b & 50%", psnr_overlap=21.0, seconds=0.2, failed=3),
    row("identity", dataset="sets", task="set", psnr=11.0),
]


def results() -> list[CaseResult]:
    draw = np.random.default_rng(0)
    found = []
    for number, method in enumerate(METHODS):
        for k in range(40):
            failed = method == "sift" and k % 10 == 3
            values = {
                "psnr_overlap": 15.0 + 3 * number + float(draw.normal()) - 0.1 * k - 5 * failed,
                "corner_error": 20.0 / (1 + number) + 0.1 * k,
                "seconds": 0.1 * (1 + number),
            }
            found.append(
                CaseResult(
                    method,
                    "d_1",
                    "pair",
                    f"{k:03d}",
                    f"<i>case {k}",
                    f"s{k}",
                    "easy" if k < 20 else "hard",
                    failed,
                    EVIL if failed else "",
                    1.0 + k,
                    None,
                    ("homography",),
                    ("homography",),
                    values,
                )
            )
    return found


def test_cells_have_digits_marks_and_reasons() -> None:
    first, second = tables(ROWS)
    assert [table.title for table in (first, second)] == ["d_1, pairs", "sets, sets"]
    header, body, notes = plain_cells(first, first.metrics)
    assert header == ["method", "cases", "psnr_overlap (dB) ↑", "corner_error (px) ↓", "seconds (s) ↓"]
    assert body == [
        ["identity", "40", "12.35 ± 0.50", "30.00 ± 0.50 *", "0.001 ± 0.500 *"],
        ["a_b & 50%", "40 (3 failed)", "21.00 ± 0.50 *", "- [1]", "0.200 ± 0.500"],
    ]
    assert notes == ["[1] it tells no homography"]
    hard = first.cells(BY_NAME["psnr_overlap"], "hard")
    assert [(cell.text, cell.best) for cell in hard] == [("11.35", False), ("20.00", True)]
    assert first.subsets == ["easy", "hard"]


def test_equal_at_the_digits_shown_is_equally_good() -> None:
    (table,) = tables([row("a", psnr_overlap=20.001), row("b", psnr_overlap=20.004), row("c", psnr_overlap=20.006)])
    assert [cell.best for cell in table.cells(BY_NAME["psnr_overlap"])] == [False, False, True]
    (table,) = tables([row("a", psnr_overlap=20.001), row("b", psnr_overlap=20.004)])
    assert [cell.best for cell in table.cells(BY_NAME["psnr_overlap"])] == [True, True]


def test_csv_has_all_numbers() -> None:
    lines = list(csv.DictReader(io.StringIO(csv_text(ROWS))))
    assert len(lines) == 9
    whole = [line for line in lines if not line["subset"]]
    assert [line["method"] for line in whole] == ["identity", "a_b & 50%", "identity"]
    assert float(whole[0]["psnr_overlap_mean"]) == 12.3456
    assert float(whole[0]["psnr_overlap_ci95"]) == 0.5
    assert float(whole[1]["seconds_std"]) == 1.0
    assert (whole[1]["n"], whole[1]["failed"], whole[1]["corner_error_mean"]) == ("40", "3", "")
    assert (whole[2]["task"], whole[2]["psnr_overlap_mean"], float(whole[2]["psnr_mean"])) == ("set", "", 11.0)
    hard = next(line for line in lines if line["subset"] == "hard" and line["method"] == "a_b & 50%")
    assert (float(hard["psnr_overlap_mean"]), hard["psnr_overlap_ci95"], hard["n"]) == (20.0, "", "20")


def test_latex_escapes_and_marks_the_best() -> None:
    text = latex(ROWS, ["psnr_overlap", "corner_error"])
    assert r"a\_b \& 50\% & 40 (3 failed) & \textbf{21.00 $\pm$ 0.50} & -- \\" in text
    assert r"psnr\_overlap (dB) $\uparrow$ & corner\_error (px) $\downarrow$ \\" in text
    assert r"\multicolumn{4}{l}{\textit{d\_1, pairs}} \\" in text
    assert r"identity & 40 & -- & -- \\" in text  # the set has neither
    body = text[text.index(r"\toprule") : text.index(r"\end")]
    cells = {line.count(" & ") for line in body.splitlines() if " & " in line}
    assert cells == {3}
    assert r"\textbackslash{}\{\}\textasciicircum{}\textasciitilde{}\#\$" in latex([row("\\{}^~#$", psnr_overlap=1.0)])


def test_markdown_is_one_line_a_method() -> None:
    text = markdown([*ROWS[:1], row("a|b *c*", psnr_overlap=21.0, seconds=1.0)], ["psnr_overlap"])
    assert text.splitlines() == [
        "**d\\_1, pairs**",
        "",
        "| method | cases | psnr_overlap (dB) ↑ |",
        "|---|--:|--:|",
        "| identity | 40 | 12.35 ± 0.50 |",
        "| a\\|b \\*c\\* | 40 | **21.00 ± 0.50** |",
    ]


def test_printed_table_is_tab_separated_outside_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_tables(ROWS, {"superglue": "no weights"})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("\t")[:4] == ["dataset", "task", "method", "cases"]
    assert lines[2].split("\t")[2:5] == ["a_b & 50%", "40 (3 failed)", "21.00 ± 0.50 *"]
    assert "[1] it tells no homography" in lines
    assert lines[-1] == "left out: superglue: no weights"


def test_terminal_shows_what_fits(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        row(m, psnr_overlap=20.0, ssim_overlap=0.5, overlap=0.9, corner_error=k, seconds=0.1)
        for k, m in enumerate("ab")
    ]
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    printed = {}
    for width in (200, 70):
        monkeypatch.setenv("COLUMNS", str(width))
        print_tables(rows)
        printed[width] = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)
        assert max(len(line) for line in printed[width].splitlines()) <= width
    assert "ssim_overlap" in printed[200]
    assert "not shown" not in printed[200]
    assert "not shown here: ssim_overlap" in printed[70]
    assert "0.00 ± 0.50 *" in printed[70]


def test_intervals_are_drawn_whole() -> None:
    rows = [row("a", psnr_overlap=20.0, seconds=0.1), row("b", psnr_overlap=21.0, seconds=0.2)]
    rows[1]["metrics"]["psnr_overlap"]["ci95"] = 6.0
    del rows[0]["metrics"]["psnr_overlap"]["ci95"]  # a single scene has none
    [chart] = pareto_charts(tables(rows), ["a", "b"])
    [(top, bottom)] = re.findall(r'class="bar" d="M[\d.]+ ([\d.]+)V([\d.]+)"', chart)
    centre = float(re.findall(r'<circle cx="[\d.]+" cy="([\d.]+)" r="5"/>', chart)[1])
    assert (float(top) + float(bottom)) / 2 == pytest.approx(centre, abs=0.2)


def test_notes_say_whose_they_are() -> None:
    page = result_tables(tables([row("a", psnr_overlap=20.0), row("b", psnr_overlap=20.0, corner_error=1.0)]))
    assert "<li>corner_error: it tells no homography</li>" in page


def test_pareto_front_by_hand() -> None:
    points = [(1.0, 5.0), (2.0, 4.0), (3.0, 9.0), (1.0, 6.0), (9.0, 9.0)]
    assert pareto_front(points, higher=True) == [3, 2]
    assert pareto_front(points, higher=False) == [0, 1]
    # Of two with the same quality the cheaper one stays.
    assert pareto_front([(1.0, 1.0), (2.0, 3.0), (2.0, 2.0), (3.0, 3.0), (4.0, 5.0)], higher=True) == [0, 1, 4]


def test_ticks_are_round() -> None:
    assert Scale(0, 1).ticks() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert Scale(-3.2, 17).ticks() == pytest.approx([0, 5, 10, 15])
    assert Scale(0.9, 30, log=True).ticks() == pytest.approx([1, 2, 5, 10, 20])
    assert Scale(0.01, 1000, log=True).ticks() == pytest.approx([0.01, 0.1, 1, 10, 100, 1000])
    assert Scale(1, 100, log=True).place(10) == pytest.approx(0.5)


def test_labels_of_near_points_do_not_overlap() -> None:
    axes = Axes("t", Scale(0, 1), Scale(0, 1), "x", "y")
    points = [(0.5 + 0.01 * k, 0.5 + 0.005 * (k % 3)) for k in range(10)]
    for k, point in enumerate(points):
        axes.dot(point, k, "m")
    for k, point in enumerate(points):
        axes.label(point, f"method {k}", k)
    boxes = axes._taken[10:]
    for k, a in enumerate(boxes):
        for b in boxes[:k]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def test_error_curve_counts_failures_in_the_whole() -> None:
    values = [1.0, 2.0, 4.0, 8.0]
    cases = [
        CaseResult(
            "m", "d", "pair", str(k), "", "", "", failed=k == 0, known=("homography",), metrics={"corner_error": v}
        )
        for k, v in enumerate(values)
    ]
    (chart,) = error_curves(cases, ["m"])
    line = re.search(r'<polyline points="([^"]*)"', chart)
    assert line
    heights = [float(place.split(",")[1]) for place in line[1].split()]
    axes = Axes("", Scale(1, 10, log=True), Scale(0, 1), "", "")
    # The axis begins above the least error that was found, and ends above the largest.
    assert heights[0] == pytest.approx(axes.at((1, 0.25))[1], abs=0.1)
    assert heights[-1] == pytest.approx(axes.at((1, 0.75))[1], abs=0.1)
    assert not error_curves([CaseResult("m", "d", "pair", "1", "", "", "", metrics={"corner_error": 1.0})], ["m"])


def test_reliability_of_the_confidence() -> None:
    # Of four answers with a confidence of 0.9 three are right; two with 0.1 are too few to say anything.
    told = [(0.9, 1.0), (0.9, 1.0), (0.9, 2.0), (0.9, 9.0), (0.1, 9.0), (0.1, 9.0)]
    cases = [
        CaseResult("m", "d", "pair", str(k), "", "", "", confidence=confidence, metrics={"epe": error})
        for k, (confidence, error) in enumerate(told)
    ]
    (chart,) = reliability_charts(cases, ["m"])
    axes = Axes("", Scale(0, 1), Scale(0, 1), "", "")
    x, y = axes.at((0.9, 0.75))
    assert f"{x:.1f}" in chart
    assert f"{y:.1f}" in chart
    assert f"{axes.at((0.1, 0.0))[0]:.1f},{axes.at((0.1, 0.0))[1]:.1f}" not in chart
    assert reliability_charts(cases[4:], ["m"]) == []


def test_motion_chart_needs_motion() -> None:
    assert len(motion_charts(results(), METHODS)) == 1
    still = [CaseResult("m", "d", "pair", str(k), "", "", "", metrics={"psnr_overlap": 1.0}) for k in range(30)]
    assert motion_charts(still, ["m"]) == []


def test_chosen_cases() -> None:
    def one(k: int, value: float, failed: bool = False) -> CaseResult:
        return CaseResult("m", "d", "pair", f"{k}", "", "", "", failed=failed, metrics={"psnr_overlap": value})

    cases = [one(k, float(10 - k)) for k in range(7)] + [one(k, 1.0, failed=True) for k in (7, 8, 9)]
    chosen = choose_items(cases, per_method=4)
    # Of 4, 5, ..., 10 the middle is 7, which is case 3; the worst is case 6.
    assert [(each.key, each.why) for each in chosen] == [
        ("7", "failed"),
        ("8", "failed"),
        ("6", "worst"),
        ("3", "median"),
    ]
    assert choose_items(cases[::-1], per_method=4) == chosen
    assert [each.why for each in choose_items(cases[7:], per_method=4)] == ["failed"] * 3
    assert [each.key for each in choose_items(cases[:2], per_method=4)] == ["1", "0"]


def test_thumbnail_is_small_and_true() -> None:
    picture = torch.zeros(3, 300, 640)
    picture[0] = 0.8
    shown = Image.open(io.BytesIO(thumbnail(picture)))
    assert shown.size == (320, 150)
    assert np.abs(np.asarray(shown.convert("RGB")).mean((0, 1)) - [204, 0, 0]).max() < 4
    assert Image.open(io.BytesIO(thumbnail(picture[:, :100, :90]))).size == (90, 100)


def page_text() -> str:
    cases = results()
    rows = [
        row(m, psnr_overlap=14.0 + 3 * k, seconds=0.1 * (1 + k), failed=4 * (k == 1)) for k, m in enumerate(METHODS)
    ]
    rows[0]["metrics"]["corner_error"] = entry(20.0)
    by_place = {(case.method, case.key): case for case in cases}
    items = []
    for number, (method, dataset, task, key, why) in enumerate(choose_items(cases)):
        case = by_place[method, key]
        small = [thumbnail(torch.full((3, 48, 64), shade)) for shade in (0.2, 0.5, 0.1 + 0.06 * number)]
        items.append(
            GalleryItem(
                method,
                dataset,
                task,
                key,
                case.name,
                case.subset,
                why,
                case.metrics,
                case.error,
                *small[:2],
                None if case.failed else small[2],
            )
        )
    return report_page(cases, rows, {"data": [EVIL]}, items, {EVIL: EVIL})


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page_text(), encoding="utf-8")
    return path.as_uri()


def test_page_loads_nothing_and_escapes() -> None:
    text = page_text()
    # The namespace is a name, not an address that is asked.
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")
    assert "<img src=x" not in text
    assert "<i>case" not in text
    assert text.count("</script>") == 3


def test_page_without_anything_but_a_table() -> None:
    text = report_page([], ROWS[:1], {})
    assert "12.35" in text
    assert re.findall(r"<h2>(.*?)</h2>", text) == ["Results", "By dataset and difficulty", "Failures", "Metrics"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright import sync_api

    program = shutil.which("chromium")
    if program is None:
        pytest.skip("needs the program chromium")
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield running
        running.close()


@pytest.fixture
def opened(browser: Any, address: str) -> Iterator[Any]:
    """The page in a browser; what goes wrong while it is used fails the test."""
    page = browser.new_page()
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda asked: None if asked.url[:5] in ("file:", "data:") else problems.append(asked.url))
    page.goto(address)
    yield page
    page.close()
    assert problems == []


def test_names_are_text(opened: Any) -> None:
    assert opened.title() == "raylign: evaluation"
    assert EVIL in opened.locator("#results tbody th").all_inner_texts()
    assert EVIL in opened.locator("#failures td").all_inner_texts()
    opened.select_option("#a", label=EVIL)
    assert f"{EVIL} wins" in opened.inner_text("#compared")
    assert opened.locator("#compared script, #compared img").count() == 0
    assert opened.title() == "raylign: evaluation"


def test_table_alone_works(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(report_page([], ROWS, {}), encoding="utf-8")
    page = browser.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(path.as_uri())
    page.locator("#results th", has_text="psnr_overlap").locator("button").click()
    assert page.locator("#results tbody th").first.inner_text() == "a_b & 50%"
    page.close()
    assert problems == []


def test_names_with_options_are_shown_in_full(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    names = ["dmaligner[solver=student]", "dmaligner[solver=student,student_steps=4,keep_pixels=true]"]
    path.write_text(report_page([], [row(name, psnr_overlap=20.0) for name in names], {}), encoding="utf-8")
    page = browser.new_page()
    page.goto(path.as_uri())
    cells = page.locator("#results tbody th")
    assert [text.replace("\n", "") for text in cells.all_inner_texts()] == names
    assert cells.evaluate_all("all => all.every(cell => cell.scrollWidth <= cell.clientWidth)")
    page.close()


def test_sorting(opened: Any) -> None:
    methods = opened.locator("#results tbody th")
    head = opened.locator("#results th", has_text="psnr_overlap")
    head.locator("button").focus()
    opened.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert methods.all_inner_texts() == [EVIL, "sift", "identity"]
    opened.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert methods.all_inner_texts() == ["identity", "sift", EVIL]
    opened.locator("#results th", has_text="seconds").locator("button").click()
    assert head.get_attribute("aria-sort") == "none"
    opened.locator("#results th", has_text="corner_error").locator("button").click()
    assert methods.all_inner_texts()[0] == "identity"  # the others have no value, in whichever direction
    opened.locator("#results th", has_text="corner_error").locator("button").click()
    assert methods.all_inner_texts()[0] == "identity"


def test_columns_and_metric_can_be_chosen(opened: Any) -> None:
    opened.locator(".columns summary").click()
    opened.locator(".columns input[value=seconds]").uncheck()
    assert not opened.locator("#results th[data-metric=seconds]").is_visible()
    opened.locator("[data-columns=all]").click()
    assert opened.locator("#results th[data-metric=seconds]").is_visible()
    assert opened.locator("[data-metric-table=psnr_overlap]").is_visible()
    opened.select_option("#difficulty", "seconds")
    assert not opened.locator("[data-metric-table=psnr_overlap]").is_visible()
    assert opened.locator("[data-metric-table=seconds]").is_visible()


def test_comparison_follows_the_choice(opened: Any) -> None:
    first = opened.locator("#compared tbody tr").first
    before = first.inner_text().split("\t")
    assert opened.locator("#compared svg circle").count() == 40
    opened.select_option("#a", label="sift")
    opened.select_option("#b", label="identity")
    after = first.inner_text().split("\t")
    assert (before[2], before[3]) == (after[3], after[2])
    assert before[4].startswith("\N{MINUS SIGN}")
    assert after[4] == before[4].replace("\N{MINUS SIGN}", "+")
    assert after[6] == " / ".join(reversed(before[6].split(" / ")))
    opened.select_option("#b", label="sift")
    assert opened.inner_text("#compared") == "Choose two methods."


def test_legend_brings_out_a_method(opened: Any) -> None:
    opened.locator("[data-highlight='1']").first.click()
    assert opened.locator(".charts.lit").count() >= 2
    assert opened.locator("[data-series='1'].on").count() == opened.locator("[data-series='1']").count() > 0
    assert opened.locator("[data-series='0'].on").count() == 0


def test_gallery(opened: Any) -> None:
    cards = opened.locator(".card")
    assert cards.nth(0).get_attribute("data-why") == "failed"
    opened.select_option("[data-filter=why]", "worst")
    assert opened.locator(".card:visible").count() == opened.locator(".card[data-why=worst]").count() > 0
    card = opened.locator(".card:visible").first
    divider = card.locator("input")
    divider.focus()
    opened.keyboard.press("ArrowRight")
    assert card.locator(".slider").evaluate("each => each.style.getPropertyValue('--cut')") == "51%"
    button = card.locator("[data-act=flicker]")
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    handle = card.element_handle()
    for state in ("true", "false"):
        opened.wait_for_function(f"card => card.classList.contains('off') === {state}", arg=handle)
    button.click()
    assert "flick" not in card.get_attribute("class").split()
    card.locator("[data-act=before]").click()
    assert card.locator("img.before").is_visible()
    assert not card.locator("img.after").is_visible()
    assert card.locator("img.before").evaluate("image => image.complete && image.naturalWidth") == 64


def test_flicker_waits_for_the_reader_who_wants_less_motion(browser: Any, address: str) -> None:
    page = browser.new_page(reduced_motion="reduce")
    page.goto(address)
    card = page.locator(".card[data-why=worst]").first
    card.locator("[data-act=flicker]").click()
    page.wait_for_timeout(700)
    assert card.get_attribute("class").split() == ["card", "flick"]
    card.locator("[data-act=flicker]").click()
    assert card.get_attribute("class").split() == ["card", "flick", "off"]
    page.close()


def test_narrow_page_does_not_scroll_sideways(browser: Any, address: str) -> None:
    page = browser.new_page(viewport={"width": 400, "height": 800})
    page.goto(address)
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    page.close()


@pytest.mark.parametrize(
    ("low", "high", "log"), [(0.71, 0.74, True), (0.004, 0.5, True), (1e-3, 1e4, True), (3.0, 4.8, False)]
)
def test_an_axis_has_round_values_however_short_it_is(low: float, high: float, log: bool) -> None:
    ticks = fitted([low, high], log=log).ticks()
    scale = fitted([low, high], log=log)
    assert 2 <= len(ticks) <= 9
    assert all(scale.low * 0.999 <= tick <= scale.high * 1.001 for tick in ticks)
    assert all(float(f"{tick:.3g}") == pytest.approx(tick) for tick in ticks)

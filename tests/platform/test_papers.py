"""The papers' own numbers against cells copied by hand from their texts, and how ours stand beside them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from raylign.methods.errors import InputError
from raylign.methods.registry import names
from raylign.platform.evaluation.papers import PAPERS, Paper, PaperTable, beside, html, paper_of, text
from raylign.platform.evaluation.papers.comparison import PaperComparison, same_data
from raylign.platform.evaluation.results import BY_NAME, Task

TABLES = [(paper.number, table) for paper in PAPERS.values() for table in paper.tables]
ALL_TABLES = pytest.mark.parametrize(("number", "table"), TABLES, ids=lambda value: getattr(value, "title", value))


def table_of(number: str, start: str) -> PaperTable:
    (found,) = [table for table in paper_of(number).tables if table.title.startswith(start)]
    return found


def values(table: PaperTable, name: str) -> tuple[float | None, ...]:
    (found,) = [row.values for row in table.rows if row.name == name]
    return found


def result(
    method: str,
    dataset: str,
    metrics: dict[str, float],
    *,
    n: int = 1106,
    task: str = "pair",
    failed: int = 0,
    subsets: dict[str, dict[str, float]] | None = None,
) -> dict[str, Any]:
    def means(numbers: dict[str, float]) -> dict[str, Any]:
        return {name: {"mean": value} for name, value in numbers.items()}

    parts = {name: {"n": 3, "metrics": means(part)} for name, part in (subsets or {}).items()}
    return {
        "method": method,
        "dataset": dataset,
        "task": task,
        "n": n,
        "failed": failed,
        "metrics": means(metrics),
        "subsets": parts,
    }


def dataset(label: str, layout: str = "shards", size: tuple[int, int] = (512, 512), **more: str) -> dict[str, Any]:
    return {"label": label, "url": f"/{label}", "layout": layout, "split": "test", "size": list(size), **more}


UDIS = dataset("UDIS", "udis-d")
IDENTITY = result("identity", "UDIS", {"psnr": 12.90, "ssim": 0.3051})


def udis(*rows: dict[str, Any], entry: dict[str, Any] = UDIS, models: dict[str, str] | None = None) -> PaperComparison:
    named = [{"name": name, "method": method} for name, method in (models or {}).items()]
    return beside(paper_of("002"), list(rows), {"datasets": [entry], "models": named})


# Copied from the texts, cell by cell.


@pytest.mark.parametrize(
    ("name", "copied"),
    [
        ("I 3x3 (no alignment)", "15.87 12.76 10.68 12.86 0.530 0.286 0.146 0.303"),
        ("APAP", "27.99 24.29 20.17 23.74 0.899 0.832 0.683 0.792"),
        ("LPC", "27.26 22.87 19.38 22.78 0.883 0.776 0.623 0.747"),
        ("RHWF", "20.10 16.42 13.51 16.35 0.688 0.481 0.331 0.483"),
        ("UDIS++", "30.21 25.83 21.60 25.43 0.934 0.876 0.739 0.838"),
        ("DCS N=2", "30.95 26.62 22.29 26.18 0.941 0.892 0.766 0.856"),
    ],
)
def test_udis_d(name: str, copied: str) -> None:
    assert values(table_of("002", "Table 2"), name) == tuple(map(float, copied.split()))


def test_the_margins_that_the_text_of_the_cross_scale_paper_claims() -> None:
    """'at least 0.74/0.007, 0.79/0.016, and 0.28/0.025 ... average 0.75 and 0.018'."""
    table = table_of("002", "Table 2")
    ours = values(table, "DCS N=2")
    others = [row.values for row in table.rows if row.name != "DCS N=2"]
    margins = [ours[k] - max(row[k] for row in others) for k in range(8)]  # type: ignore[operator, type-var]
    assert margins == pytest.approx([0.74, 0.79, 0.28, 0.75, 0.007, 0.016, 0.025, 0.018], abs=1e-9)


def test_ablation_of_the_cross_scale_paper() -> None:
    table = table_of("002", "Table 1")
    assert values(table, "N=2")[-4:] == (0.7657, 0.8556, 562.9, 0.0305)
    assert values(table, "N=2 w/ CCL") == (30.72, 26.48, 22.16, 26.01, 0.9381, 0.8882, 0.7588, 0.8509, 1396.8, 0.0315)
    assert values(table, "N=2 w/ CV") == (*(None,) * 8, 431.9, 0.5580)
    # both tables of the paper have the same row, one rounded
    full = values(table_of("002", "Table 2"), "DCS N=2")
    assert [round(value, 3) for value in values(table, "N=2")[:8] if value is not None] == list(full)


@pytest.mark.parametrize(
    ("table", "name", "copied"),
    [
        ("Table 2", "SIFT", (0, 8.29, 91.71, 5.2)),
        ("Table 2", "SuperRetina:200", (0, 34.76, 65.24, 22.3)),
        ("Table 2", "ADM", (0, 41.98, 58.02, 29.3)),
        ("Table 3", "SIFT", (0, 79.85, 20.15, 57.3)),
        ("Table 3", "SuperGlue", (0.75, 95.52, 3.73, 68.7)),
        ("Table 3", "DKM", (0, 75.94, 24.06, 58.0)),
        ("Table 3", "LoFTR", (0, 96.99, 3.01, 66.3)),
        ("Table 3", "ADM", (0, 98.51, 1.49, 76.0)),
        ("Table 4: sampling (FIRE)", "without guidance", (0, 94.77, 5.23, 71.8)),
        ("Table 5: the three weights that change over time (KBSMC)", "the second alone", (0, 34.60, 65.40, 20.9)),
        ("Table 6: networks of the homography and of the displacement (FIRE)", "CNN + CNN", (0, 97.01, 2.99, 72.5)),
        ("Table 7", "60/40", (22.7,)),
        ("Table 8", "Gaussian blur, third", (24.9, 69.0)),
    ],
)
def test_fundus_pictures(table: str, name: str, copied: tuple[float, ...]) -> None:
    assert values(table_of("004", table), name) == copied


def test_the_gains_that_the_text_of_the_fundus_paper_claims() -> None:
    """'a 5.88% point increase in the acceptable rate and a 5.2 point increase in mAUC'; 0.4 points on FIRE."""
    private, public = table_of("004", "Table 2"), table_of("004", "Table 3")

    def gain(table: PaperTable, column: int) -> float:
        return values(table, "ADM")[column] - values(table, "GeoFormer")[column]  # type: ignore[operator]

    assert (gain(private, 1), gain(private, 3), gain(public, 3)) == pytest.approx((5.88, 5.2, 0.4), abs=1e-9)


def test_rates_add_to_100_but_for_two_misprints() -> None:
    rates = [
        (table.dataset, row.name, sum(row.values[:3]))  # type: ignore[arg-type]
        for table in paper_of("004").tables
        for row in table.rows
        if len(row.values) == 4
    ]
    assert len(rates) == 13 + 13 + 2 * (3 + 5 + 4)
    wrong = {(where, name) for where, name, total in rates if abs(total - 100) > 0.005}
    assert wrong == {("KBSMC", "Transformer + Transformer"), ("KBSMC", "CNN + CNN")}


def test_private_rates_are_shares_of_374_pairs() -> None:
    for row in table_of("004", "Table 2").rows:
        shares = {round(100 * k / 374, 2) for k in range(375)}
        assert row.values[1] in shares, row.name


def test_uncertain_numbers_are_marked() -> None:
    recovered, summary = paper_of("000").tables[0], table_of("000", "DSIA (summary)")
    assert values(recovered, "DMAligner") == (26.67, 0.81)
    assert values(table_of("000", "Sintel and DAVIS"), "DMAligner") == (0.211, 0.108)
    assert values(summary, "DMAligner") == (27.43, 0.893, 0.078)
    assert values(summary, "FlowFormer + Warp") == (23.15, 0.801, 0.172)
    assert values(table_of("000", "MPI Sintel"), "RAFT + Warp") == (18.7, 17.2)
    assert not any(table.reliable for table in paper_of("000").tables)
    assert all(table.reliable for number in ("002", "004") for table in paper_of(number).tables)


def test_the_summary_shows_what_the_paper_shows() -> None:
    paper, summary = paper_of("001"), paper_of("003")
    assert paper.tables == summary.tables == ()
    assert paper.findings == summary.findings
    assert summary.arxiv == paper.arxiv == "2310.11605"
    assert "summary of paper 001" in text(beside(summary, [], {}))


# What holds for every paper.


@ALL_TABLES
def test_tables_are_whole(number: str, table: PaperTable) -> None:
    assert {len(row.values) for row in table.rows} == {len(table.columns)}
    assert len({row.name for row in table.rows}) == len(table.rows)
    methods = [row.method for row in table.rows if row.method]
    assert len(set(methods)) == len(methods)
    assert table.pairs == () or table.layouts
    for column in table.columns:
        assert column.metric is None or column.metric in BY_NAME, column.header


@pytest.mark.parametrize("paper", PAPERS.values(), ids=PAPERS)
def test_findings_name_our_metrics_and_tasks(paper: Paper) -> None:
    for finding in paper.findings:
        assert finding.metrics
        assert set(finding.metrics) <= set(BY_NAME)
        assert set(finding.tasks) <= set(Task.__args__)  # type: ignore[attr-defined]


@pytest.mark.parametrize("paper", PAPERS.values(), ids=PAPERS)
def test_every_paper_prints_without_results(paper: Paper) -> None:
    comparison = beside(paper, [], {})
    shown = text(comparison)
    assert paper.arxiv in shown
    command = re.search(rf"--methods (.+) --paper {paper.number}", shown)
    assert command
    assert set(command[1].split()) <= set(names())
    assert "difference" not in re.findall(r"^ *(\w+)", shown, re.MULTILINE)
    assert max(map(len, shown.splitlines())) <= 120
    for table in paper.tables:
        for row in table.rows:
            assert re.search(rf"^{re.escape(row.name)} ", shown, re.MULTILINE), row.name
    page = html(comparison)
    assert page.count("<table>") == len(paper.tables)
    assert page.count("<") == page.count(">")


def test_unknown_papers_are_refused_with_the_choices() -> None:
    with pytest.raises(InputError) as refused:
        paper_of("005")
    message = str(refused.value)
    assert "\n" not in message
    for paper in PAPERS.values():
        assert f"{paper.number} ({paper.title})" in message


# Pairing.


def test_ours_stand_under_the_row_of_their_method_with_the_difference() -> None:
    shown = text(udis(IDENTITY)).splitlines()
    at = next(k for k, line in enumerate(shown) if line.startswith("I 3x3"))
    assert shown[at + 1].split() == ["ours:", "identity", "-", "-", "-", "12.90", "-", "-", "-", "0.305"]
    assert shown[at + 2].split() == ["difference", "-", "-", "-", "+0.04", "-", "-", "-", "+0.002"]
    # numbers stand under the header's words and under each other
    ends = {shown[at + k].index(cell) + len(cell) for k, cell in ((0, "12.86"), (1, "12.90"), (2, "+0.04"))}
    assert len(ends) == 1
    assert shown[at - 1].index("average") + len("average") in ends


def test_models_go_by_their_method_and_others_stand_alone() -> None:
    rows = [result(name, "UDIS", {"psnr": 20.0}) for name in ("champion", "champion-2", "orb")]
    comparison = udis(*rows, models={"champion": "crossscale", "champion-2": "crossscale", "orb": "orb"})
    accuracy, ablation = comparison.tables
    labels = {line.row and line.row.name: [ours.label for ours in line.ours] for line in accuracy.lines if line.ours}
    assert labels == {"DCS N=2": ["champion", "champion-2"], None: ["orb"]}
    assert [line.row.name for line in ablation.lines if line.row and line.ours] == ["N=2"]
    assert all(line.row for line in ablation.lines)
    assert "only ours: orb " in text(comparison)


def test_rates_and_factors() -> None:
    row = result("sift", "FIRE", {"success": 0.75, "auc": 0.5, "mauc": 0.57}, n=134, failed=3)
    comparison = beside(paper_of("004"), [row], {"datasets": [dataset("FIRE", "fire", (2912, 2912))]})
    (line,) = [line for table in comparison.tables for line in table.lines if line.ours]
    (ours,) = line.ours
    assert ours.values == pytest.approx((100 * 3 / 134, 75.0, 25 - 100 * 3 / 134, 57.0))
    assert ours.differences == pytest.approx((100 * 3 / 134, -4.85, 25 - 100 * 3 / 134 - 20.15, -0.3))
    assert any("sift failed on 3 of 134" in sentence for sentence in comparison.sentences)


def test_work_of_a_batch_of_four_and_seconds_of_another_machine() -> None:
    row = result("crossscale", "UDIS", {"psnr": 26.0, "gflop": 140.7, "seconds": 1.5})
    comparison = udis(row)
    (ours,) = [ours for line in comparison.tables[1].lines for ours in line.ours]
    assert ours.values[-2:] == pytest.approx((562.8, 1.5))
    assert ours.differences is not None
    assert ours.differences[-2:] == (pytest.approx(-0.1), None)
    assert any("this machine" in sentence for sentence in comparison.sentences)
    assert not any("this machine" in sentence for sentence in udis(IDENTITY).sentences)


def test_results_of_sets_do_not_enter_tables_of_pairs() -> None:
    comparison = udis(result("identity", "UDIS", {"psnr": 12.0}, task="set"))
    assert not any(line.ours for table in comparison.tables for line in table.lines)


def test_results_without_any_column_of_the_table_are_left_out() -> None:
    comparison = udis(result("identity", "UDIS", {"corner_error": 3.0}))
    assert comparison.datasets == ()


# Differences only on the same data.


@pytest.mark.parametrize(
    ("entry", "n", "same"),
    [
        (UDIS, 1106, True),
        (UDIS, 100, False),
        (dataset("UDIS", "udis-d", (256, 256)), 1106, False),
        (dataset("UDIS", "shards"), 1106, False),
    ],
)
def test_differences_only_on_the_same_data(entry: dict[str, Any], n: int, same: bool) -> None:
    comparison = udis({**IDENTITY, "n": n}, entry=entry)
    (ours,) = [ours for line in comparison.tables[0].lines for ours in line.ours]
    assert (ours.differences is not None) is same
    assert ("\n  difference" in text(comparison)) is same
    assert ("<td>  difference</td>" in html(comparison)) is same
    assert any("is the paper's data" in sentence for sentence in comparison.sentences) is same
    assert same_data(comparison.tables[0].table, n, entry) is same
    assert not same_data(replace(comparison.tables[0].table, reliable=False), n, entry)
    assert any("UDIS" in sentence and f"{n:,} cases" in sentence for sentence in comparison.sentences)


def test_other_pictures_are_said_to_be_others() -> None:
    row = result("identity", "parallax", {"psnr": 20.0}, n=120)
    said = " ".join(udis(row, entry=dataset("parallax", size=(256, 256))).sentences)
    assert "Ours is parallax (split test, 120 cases, 256 x 256): other pictures" in said
    assert "The paper measured at 512 x 512" in said
    assert "The paper trained its method" not in said
    assert "implementations of this project" not in said
    trained = [result(method, "UDIS", {"psnr": 22.0}) for method in ("apap", "crossscale")]
    more = " ".join(udis(*trained).sentences)
    assert "The paper trained its method on the 10,440 training pairs" in more
    assert "implementations of this project" in more


def test_subsets_are_compared_only_where_they_are_ranks_of_the_score() -> None:
    row = result("identity", "UDIS", {"psnr": 12.9}, subsets={"hard": {"psnr": 10.7}})

    def hard(entry: dict[str, Any]) -> tuple[float | None, float | None, str]:
        comparison = udis(row, entry=entry)
        (ours,) = [ours for line in comparison.tables[0].lines for ours in line.ours]
        assert ours.differences is not None
        assert ours.differences[3] == pytest.approx(0.04)
        return ours.values[2], ours.differences[2], " ".join(comparison.sentences)

    value, difference, said = hard(UDIS)
    assert (value, difference) == (10.7, None)
    assert "the same pairs for every method" in said
    value, difference, said = hard({**UDIS, "subsets": "score"})
    assert (value, difference) == (10.7, pytest.approx(0.02))
    assert "the same pairs for every method" not in said
    assert "so are ours" in said
    assert "has no such groups" in " ".join(udis(IDENTITY).sentences)


def test_numbers_that_are_not_certain_get_no_differences() -> None:
    row = result("raft", "DSIA", {"psnr": 20.0, "ssim": 0.7}, n=900)
    comparison = beside(paper_of("000"), [row], {"datasets": [dataset("DSIA", "dsia", (960, 540))]})
    shown = [ours for table in comparison.tables for line in table.lines for ours in line.ours]
    assert len(shown) == 2  # alone under the recovered average, and beside the summary's row
    assert not any(ours.differences for ours in shown)
    assert any("are not certain" in sentence for sentence in comparison.sentences)


# Which of our datasets.


def test_a_table_takes_its_own_dataset_and_leaves_those_of_other_tables() -> None:
    metrics = {"success": 0.5, "auc": 0.4, "mauc": 0.4}
    rows = [result("sift", label, metrics, n=134) for label in ("FIRE", "fundus")]
    entries = [dataset("FIRE", "fire", (2912, 2912)), dataset("fundus")]
    comparison = beside(paper_of("004"), rows, {"datasets": entries})
    there = {
        table.table.title.partition(":")[0]: [ours.dataset for line in table.lines for ours in line.ours]
        for table in comparison.tables[:2]
    }
    assert there == {"Table 2": ["fundus"], "Table 3": ["FIRE"]}
    assert "  ours: sift, fundus" in text(comparison)


def test_datasets_that_were_not_measured_take_no_place() -> None:
    row = result("identity", "parallax", {"psnr": 20.0})
    comparison = beside(paper_of("002"), [row], {"datasets": [UDIS, dataset("parallax")]})
    assert comparison.datasets == ("parallax",)


def test_findings_show_our_results_of_their_task_and_methods() -> None:
    rows = [
        result("median", "sidar", {"rmse": 0.125, "psnr": 18.0, "ssim": 0.6}, task="aligned"),
        result("best", "sidar", {"rmse": 0.0625, "psnr": 24.0, "ssim": 0.5}, task="aligned"),
        result("best", "sidar", {"rmse": 0.1, "psnr": 20.0, "ssim": 0.4}, task="set"),
        result("orb", "sidar", {"e1": 1.0, "e2": 9.0}),
    ]
    settings = {"datasets": [dataset("sidar")], "models": [{"name": "best", "method": "diar"}]}
    comparison = beside(paper_of("001"), rows, settings)
    seen = [[(each.label, each.task, each.values) for each in found] for _, found in comparison.findings]
    assert seen == [
        [("median", "aligned", (0.125, 18.0)), ("best", "aligned", (0.0625, 24.0))],
        [("median", "aligned", (0.6,)), ("best", "aligned", (0.5,))],
        [("best", "aligned", (0.0625, 24.0))],
        [("best", "set", (0.1, 20.0, 0.4))],
        [],
    ]
    shown = text(comparison)
    assert re.search(r"ours: best, aligned +0\.0625 +24\.00", shown)
    assert "Nothing of ours" not in shown
    assert html(comparison).count("<table>") == 4


def test_html_escapes_what_users_name() -> None:
    page = html(udis(result("<b>", "UDIS", {"psnr": 20.0})))
    assert "<b>" not in page
    assert "&lt;b&gt;" in page

"""Dense cross-scale alignment (arXiv 2511.09028): its Tables 1 and 2, read in the paper's text."""

from __future__ import annotations

from .contents import Column, Paper, PaperRow, PaperTable, Remark

_DATASET = "UDIS-D"
_DATA = "the 1,106 test pairs of UDIS-D, photographs of 512 x 512 with parallax, without ground truth"
_LAYOUTS = ("udis-d",)
_PAIRS = (1106,)
_SIZE = "512 x 512"


def _accuracy(ssim_digits: int) -> tuple[Column, ...]:
    groups = (("easy", "easy"), ("moderate", "moderate"), ("hard", "hard"), ("average", ""))
    return (
        *(Column(f"PSNR dB {name}", "psnr", subset) for name, subset in groups),
        *(Column(f"SSIM {name}", "ssim", subset, ssim_digits) for name, subset in groups),
    )


_RANKS = (
    "The paper's easy, moderate and hard pairs are the first 30 %, the next 30 % and the last 40 % of each method's "
    "own scores, sorted anew for every method and for PSNR and SSIM (UDIS++'s protocol)"
)
_REMARKS = (
    Remark(
        "measured",
        "PSNR and SSIM have one definition in both: zero outside the overlap, over the full frame, so that a small "
        "overlap raises them. psnr_overlap, ssim_overlap and overlap of our own table do not have this fault.",
    ),
    Remark("score subsets", f"{_RANKS}; so are ours."),
    Remark(
        "other subsets",
        f"{_RANKS}; ours are groups of the dataset (of rendered pairs: by their parallax), the same pairs for every "
        "method. The two are not comparable, so these columns have no differences.",
    ),
    Remark("no subsets", f"{_RANKS}; ours has no such groups, so only the averages stand beside each other."),
    Remark(
        "other size",
        "The paper measured at 512 x 512. At another size PSNR and SSIM of the same alignment are other numbers, and "
        "the work of a method changes.",
    ),
    Remark(
        "own method",
        "The paper trained its method on the 10,440 training pairs of UDIS-D: 150 epochs, batches of 4, Adam at 1e-4, "
        "512 x 512. What ours was trained on stands in its run folder; a difference is one of training as much as of "
        "method.",
    ),
    Remark(
        "baselines",
        "The paper does not say which programs made the rows of the published methods; ours are implementations of "
        "this project.",
    ),
)

_ABLATION_REMARKS = (
    Remark(
        "measured",
        "FLOPs: the paper's column fits two operations per multiply-add of a batch of 4 (worked out from its rows to "
        "0.1 %, not said in the paper); ours are counted for one pair and shown times 4.",
    ),
    Remark(
        "seconds",
        "The paper does not say on which machine its seconds were taken (it trained on an 'RTX A100'); ours are those "
        "of this machine, so they have no differences.",
    ),
)

_TABLE_2 = PaperTable(
    title="Table 2: accuracy of published methods on UDIS-D",
    dataset=_DATASET,
    data=_DATA,
    columns=_accuracy(3),
    rows=(
        PaperRow("I 3x3 (no alignment)", (15.87, 12.76, 10.68, 12.86, 0.530, 0.286, 0.146, 0.303), "identity"),
        PaperRow("APAP", (27.99, 24.29, 20.17, 23.74, 0.899, 0.832, 0.683, 0.792), "apap"),
        PaperRow("ELA", (29.74, 25.36, 19.47, 24.30, 0.923, 0.862, 0.704, 0.816)),
        PaperRow("SPW", (28.15, 23.39, 19.86, 23.32, 0.907, 0.799, 0.631, 0.764)),
        PaperRow("LPC", (27.26, 22.87, 19.38, 22.78, 0.883, 0.776, 0.623, 0.747)),
        PaperRow("IHN", (22.16, 18.17, 14.53, 17.90, 0.747, 0.558, 0.391, 0.547)),
        PaperRow("RHWF", (20.10, 16.42, 13.51, 16.35, 0.688, 0.481, 0.331, 0.483)),
        PaperRow("MCNet", (22.52, 18.68, 15.45, 18.53, 0.768, 0.591, 0.422, 0.576)),
        PaperRow("UDIS", (25.16, 20.96, 18.36, 21.17, 0.834, 0.669, 0.495, 0.648)),
        PaperRow("DAMG", (29.52, 25.24, 21.20, 24.89, 0.923, 0.859, 0.708, 0.817)),
        PaperRow("UDIS++", (30.21, 25.83, 21.60, 25.43, 0.934, 0.876, 0.739, 0.838)),
        PaperRow("DunHuangStitch", (29.47, 25.60, 22.01, 25.31, 0.921, 0.859, 0.741, 0.830)),
        PaperRow("DCS N=2", (30.95, 26.62, 22.29, 26.18, 0.941, 0.892, 0.766, 0.856), "crossscale"),
    ),
    source="the paper's text",
    layouts=_LAYOUTS,
    pairs=_PAIRS,
    size=_SIZE,
    remarks=_REMARKS,
)

_TABLE_1 = PaperTable(
    title="Table 1: ablation on UDIS-D",
    dataset=_DATASET,
    data=_DATA,
    columns=(
        *_accuracy(4),
        Column("GFLOP", "gflop", digits=1, factor=4),
        Column("s", "seconds", digits=4),
    ),
    rows=(
        PaperRow("N=0", (30.46, 26.04, 21.74, 25.63, 0.9363, 0.8805, 0.7453, 0.8426, 443.1, 0.0174)),
        PaperRow("N=1", (30.88, 26.58, 22.26, 26.13, 0.9405, 0.8915, 0.7653, 0.8552, 527.1, 0.0246)),
        PaperRow("N=2", (30.95, 26.62, 22.29, 26.18, 0.9408, 0.8918, 0.7657, 0.8556, 562.9, 0.0305), "crossscale"),
        PaperRow("N=2 w/ CCL", (30.72, 26.48, 22.16, 26.01, 0.9381, 0.8882, 0.7588, 0.8509, 1396.8, 0.0315)),
        PaperRow("N=2 w/ CL", (30.80, 26.46, 22.10, 26.01, 0.9394, 0.8887, 0.7591, 0.8516, 556.3, 0.0285)),
        PaperRow("N=2 w/ CV", (*(None,) * 8, 431.9, 0.5580)),
        PaperRow("N=2 w/o JND", (30.82, 26.50, 22.12, 26.03, 0.9403, 0.8895, 0.7599, 0.8524, 562.9, 0.0305)),
    ),
    source="the paper's text",
    layouts=_LAYOUTS,
    pairs=_PAIRS,
    size=_SIZE,
    alone=False,
    remarks=(*_REMARKS, *_ABLATION_REMARKS),
)

PAPER = Paper(
    number="002",
    title="Dense Cross-Scale Image Alignment With Fully Spatial Correlation and Just Noticeable Difference Guidance",
    arxiv="2511.09028",
    method="crossscale",
    data=(
        "UDIS-D: 10,440 pairs of 512 x 512 for training, 1,106 for testing; photographs with parallax, no ground truth."
    ),
    protocol=(
        "PSNR and SSIM of the overlap. The paper gives no formula; it is taken to be that of UDIS++'s code: both "
        "pictures zero outside the overlap, measured over the full frame. Then identity on UDIS-D gives the first row."
    ),
    tables=(_TABLE_2, _TABLE_1),
    notes=(
        "N=2 gains 0.05 dB over N=1, for 1.24 times the time.",
        "On pictures of other datasets the paper optimises each pair for itself at test time and gives no numbers.",
    ),
)

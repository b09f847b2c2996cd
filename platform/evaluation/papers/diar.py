"""DIAR (arXiv 2310.11605): plots without a table; what its text says of them. And a machine-made summary of it."""

from __future__ import annotations

from dataclasses import replace

from .contents import Finding, Paper

_RECONSTRUCTIONS = ("diar", "mean", "median", "rpca", "weiss")

PAPER = Paper(
    number="001",
    title="DIAR: Deep Image Alignment and Reconstruction using Swin Transformers",
    arxiv="2310.11605",
    method="diar",
    data=(
        "Rendered pictures of paintings under changing light, shadow and occlusion: 15,000 aligned sequences of 10 "
        "distorted pictures for training and validation (10 %), 100 sequences of 50 for testing. The paper's own test "
        "set is not public."
    ),
    protocol=(
        "RMSE, PSNR and SSIM of the reconstruction against the undisturbed picture, drawn against the length of the "
        "sequence; with --lengths so are ours. Two errors of the homographies: E1, the norm of the difference at "
        "determinant 1, and E2, the mean distance of four mapped points; the text has lost which norm and which "
        "points, ours are Frobenius and the corners."
    ),
    findings=(
        Finding(
            "Deep models have by far a lower RMSE and a higher PSNR than the classical reconstructions.",
            "section 6.2, Figures 10 and 11",
            ("rmse", "psnr"),
            ("aligned",),
            _RECONSTRUCTIONS,
        ),
        Finding(
            "All deep models have a low SSIM.", "section 6.2, Figure 12", ("ssim",), ("aligned",), _RECONSTRUCTIONS
        ),
        Finding(
            "Swin layers aggregate better than Deep Sets, and weighting by a softmax better than averaging.",
            "section 6.1, Figure 9, on the validation set",
            ("rmse", "psnr"),
            ("aligned",),
            ("diar",),
        ),
        Finding(
            "Reconstruction by Swin layers bears frames that are aligned badly better than the others do.",
            "section 6.3, Figures 15 to 17",
            ("rmse", "psnr", "ssim"),
            ("set",),
            _RECONSTRUCTIONS,
        ),
        Finding(
            "Many pictures are aligned, with strong outliers; too coarse for a reconstruction pixel by pixel.",
            "section 7, Figures 18 and 19",
            ("e1", "e2"),
            ("pair", "set"),
            ("diar", "sift"),
        ),
    ),
    notes=(
        "The paper has no table of results, only plots; so there is no number to stand beside ours, only what its text "
        "says of the plots.",
        "The text has lost the list of classical reconstructions; by its references they are the median, Weiss' "
        "intrinsic images and robust PCA. Ours are mean, median, rpca and weiss, implementations of this project.",
    ),
)

SUMMARY = replace(
    PAPER,
    number="003",
    title=f"{PAPER.title} (a summary)",
    notes=(
        "003 is a machine-made summary of paper 001; what stands here is that of 001.",
        "The summary says that the RMSE is lower than that of Deep Sets; the paper says that all deep models, Deep "
        "Sets among them, are below the classical ones (Figure 10), and compares aggregations on the validation set.",
        *PAPER.notes,
    ),
)

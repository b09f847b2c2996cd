"""Self-contained HTML reports: one file, no script from anywhere, pictures as data URIs."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --soft: #60646c; --line: #d9d9e0; --back: #fcfcfd; --card: #fff;
  --mark: #0b68cb; }
@media (prefers-color-scheme: dark) { :root { --ink: #edeef0; --soft: #b0b4ba; --line: #363a3f; --back: #111113;
  --card: #18191b; --mark: #70b8ff; } }
* { box-sizing: border-box }
body { margin: 0; background: var(--back); color: var(--ink); font: 16px/1.55 system-ui, sans-serif }
main { max-width: 1040px; margin: 0 auto; padding: 2.5rem 1.25rem 4rem }
h1 { font-size: 1.9rem; margin: 0 0 .3rem; letter-spacing: -.01em }
h2 { font-size: 1.2rem; margin: 0 0 .8rem }
p.lead { color: var(--soft); margin: 0 0 2rem; max-width: 46rem }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 1.3rem 1.4rem;
  margin: 0 0 1.3rem; overflow-x: auto }
section > p:first-of-type { margin-top: 0 }
img { max-width: 100%; height: auto; border-radius: 6px; background: #fff }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100%; font-size: .93rem }
th, td { text-align: right; padding: .4rem .7rem; border-bottom: 1px solid var(--line); white-space: nowrap }
th:first-child, td:first-child { text-align: left }
th { color: var(--soft); font-weight: 600 }
code, pre { font: .9em/1.5 ui-monospace, monospace }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: var(--back); border: 1px solid var(--line);
  border-radius: 8px; padding: .8rem 1rem }
.big { font-size: 2rem; font-weight: 650; color: var(--mark); margin: 0 }
.soft { color: var(--soft) }
.slider { position: relative; max-width: 560px; line-height: 0; user-select: none }
.slider img { width: 100%; image-rendering: auto; border-radius: 6px }
.slider .over { position: absolute; inset: 0; clip-path: inset(0 calc(100% - var(--cut, 50%)) 0 0) }
.slider input { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0; cursor: ew-resize }
.slider::after { content: ""; position: absolute; top: 0; bottom: 0; left: var(--cut, 50%); width: 2px;
  background: #fff; box-shadow: 0 0 3px #000; pointer-events: none }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(230px, 1fr)); gap: 1rem }
nav { display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; margin: -.8rem 0 1.8rem; font-size: .93rem }
a { color: var(--mark) }
figure { margin: 0 } figcaption { color: var(--soft); font-size: .88rem; line-height: 1.4; margin-top: .35rem }
"""


def page(
    title: str,
    sections: Sequence[tuple[str, str]],
    lead: str = "",
    *,
    style: str = "",
    script: str = "",
    contents: bool = False,
) -> str:
    """A whole HTML page.

    Args:
        title: plain text.
        sections: heading (plain text) and body (HTML) of each.
        lead: one plain sentence under the title.
        style: further CSS.
        script: JavaScript that runs when the page is read. The page then runs no other script, handlers in attributes
            included, and loads nothing: a content security policy sees to it.
        contents: whether to list the sections under the title.
    """
    places = [re.sub(r"\W+", "-", head.lower()).strip("-") for head, _ in sections]
    marks = [f' id="{place}"' if contents else "" for place in places]
    body = "\n".join(
        f"<section{mark}>\n<h2>{html.escape(head)}</h2>\n{content}\n</section>"
        for mark, (head, content) in zip(marks, sections, strict=True)
    )
    links = " ".join(
        f'<a href="#{place}">{html.escape(head)}</a>' for place, (head, _) in zip(places, sections, strict=True)
    )
    listed = f'<nav aria-label="contents">{links}</nav>\n' if contents else ""
    policy, code = "", ""
    if script:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        rules = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
        policy = f'<meta http-equiv="Content-Security-Policy" content="{rules}">\n'
        code = f"<script>{script}</script>\n"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"{policy}<title>{html.escape(title)}</title>\n<style>{_STYLE}{style}</style>\n</head>\n<body>\n<main>\n"
        f'<h1>{html.escape(title)}</h1>\n<p class="lead">{html.escape(lead)}</p>\n{listed}{body}\n</main>\n'
        f"{code}</body>\n</html>\n"
    )


def embedded(name: str, content: object) -> str:
    """Data for the page's script, which reads it with `JSON.parse(document.getElementById(name).textContent)`.

    Raises:
        ValueError: a number is not finite, which JSON does not know.
    """
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    # "</script>" and "<!--" in a string would end the element or change how it is read.
    return f'<script type="application/json" id="{name}">{text.replace("<", chr(92) + "u003c")}</script>'


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """An HTML table; cells are plain text, the first column is left-aligned."""
    head = "".join(f"<th>{html.escape(str(cell))}</th>" for cell in header)
    lines = ("<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{chr(10).join(lines)}\n</tbody>\n</table>"


def picture(png: bytes, caption: str = "") -> str:
    """A PNG as an `<img>` with a data URI, in a figure if it has a caption (plain text)."""
    image = f'<img src="{data_uri(png)}" alt="{html.escape(caption)}">'
    return f"<figure>{image}<figcaption>{html.escape(caption)}</figcaption></figure>" if caption else image


def data_uri(picture: bytes) -> str:
    """The bytes of a PNG, JPEG or WebP file as a data URI."""
    kind = "jpeg" if picture.startswith(b"\xff\xd8") else "webp" if picture.startswith(b"RIFF") else "png"
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


def figure(drawn: Figure) -> str:
    """A matplotlib figure as an `<img>`; the figure is closed."""
    import matplotlib.pyplot as plt

    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
    plt.close(drawn)
    return picture(buffer.getvalue())


def plots() -> type:
    """matplotlib's pyplot, set to draw into memory (no display needed)."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update(
        {
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.alpha": 0.25,
            "axes.formatter.useoffset": False,
            "font.size": 10,
            "figure.facecolor": "white",
        }
    )
    return plt  # type: ignore[return-value]


def pareto_front(points: Sequence[tuple[float, float]], *, higher: bool) -> list[int]:
    """Places of the points that no other one beats in both, the cheapest first.

    Args:
        points: cost (less is better) and quality.
        higher: whether higher quality is better.

    Returns:
        Indices: each is better than all that cost as much or less.
    """
    sign = 1 if higher else -1
    front: list[int] = []
    for index in sorted(range(len(points)), key=lambda i: (points[i][0], -sign * points[i][1])):
        if not front or sign * points[index][1] > sign * points[front[-1]][1]:
            front.append(index)
    return front


def slider(below: bytes, above: bytes, caption: str) -> str:
    """Two PNGs of one size under a divider that the reader moves: `above` on its left, `below` on its right."""
    return (
        '<figure><div class="slider">'
        f'<img src="{data_uri(below)}" alt=""><img class="over" src="{data_uri(above)}" alt="">'
        '<input type="range" min="0" max="100" value="50" aria-label="divider" '
        "oninput=\"this.parentNode.style.setProperty('--cut', this.value + '%')\">"
        f"</div><figcaption>{html.escape(caption)}</figcaption></figure>"
    )

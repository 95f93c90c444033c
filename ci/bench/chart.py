"""A bar chart per family of works, as a small SVG that follows the reader's light or dark colours."""

from collections.abc import Mapping, Sequence
from xml.etree import ElementTree as ET

from ci.bench.buffers import BUFFER
from ci.bench.peers import HANDLER, OURS
from ci.bench.results import Spread, number
from ci.bench.works import Work

WIDTH, LABELS, VALUES = 800, 220, 90  # pixels: in all, for the names on the left, for the values
TOP, ROW, BAR = 52, 24, 14

STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328; }
.title { font-weight: 600; font-size: 15px; }
.unit, .size { fill: #59636e; }
.peer { fill: #8c959f; }
.ours { fill: #0969da; }
.spread { stroke: #1f2328; stroke-width: 1.5; }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc; }
  .unit, .size { fill: #9198a1; }
  .peer { fill: #656c76; }
  .ours { fill: #4493f8; }
  .spread { stroke: #f0f6fc; }
}
"""

Ranked = Sequence[tuple[str, Spread]]


def draw(works: Sequence[Work], ranked: Mapping[str, Ranked]) -> str:
    """Return the chart of one family: a bar per peer (median), a line over it from minimum to maximum.

    Sizes of one thing share a scale; works that differ in more than a size have one each.
    """
    shown = [work for work in works if ranked.get(work.name)]
    same = len({work.title for work in works}) == 1
    longest = {work.name: max(spread.maximum for _, spread in ranked[work.name]) for work in shown}
    height = TOP + ROW * sum(len(ranked[work.name]) + (len(works) > 1) for work in shown) + 8
    svg = ET.Element("svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH} {height}", role="img")
    svg.set("width", str(WIDTH))
    title = works[0].title if same else works[0].family
    ET.SubElement(svg, "title").text = title
    ET.SubElement(svg, "style").text = STYLE
    _text(svg, 8, 20, title, kind="title")
    measure = works[0].measure
    _text(
        svg, 8, 40, f"{measure.unit}, {'more' if measure.more_is_better else 'less'} is better", kind="unit"
    )
    y = TOP
    for work in shown:
        if len(works) > 1:
            _text(svg, 8, y + BAR, work.name.partition("/")[2] if same else work.title, kind="size")
            y += ROW
        end = max(longest.values()) if same else longest[work.name]
        for peer, spread in ranked[work.name]:
            _bar(svg, y, peer, spread, scale=(WIDTH - LABELS - VALUES) / (end or 1))
            y += ROW
    ET.indent(svg, " ")
    return ET.tostring(svg, encoding="unicode") + "\n"


def _bar(svg: ET.Element, y: int, peer: str, spread: Spread, *, scale: float) -> None:
    kind = "ours" if peer in {OURS, HANDLER, BUFFER} else "peer"
    _text(svg, LABELS - 8, y + BAR - 2, peer, kind="name", anchor="end")
    length = max(1.0, spread.median * scale)
    ET.SubElement(
        svg, "rect", {"class": kind}, x=str(LABELS), y=str(y), width=f"{length:.1f}", height=str(BAR)
    )
    middle = f"{y + BAR / 2:g}"
    minimum, maximum = f"{LABELS + spread.minimum * scale:.1f}", f"{LABELS + spread.maximum * scale:.1f}"
    ET.SubElement(svg, "line", {"class": "spread"}, x1=minimum, x2=maximum, y1=middle, y2=middle)
    _text(
        svg,
        LABELS + max(length, spread.maximum * scale) + 6,
        y + BAR - 2,
        number(spread.median),
        kind="figure",
    )


def _text(svg: ET.Element, x: float, y: float, words: str, *, kind: str, anchor: str = "start") -> None:
    attributes = {"class": kind, "text-anchor": anchor}
    ET.SubElement(svg, "text", attributes, x=f"{x:.1f}", y=f"{y:g}").text = words

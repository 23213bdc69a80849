"""Draws ``data-flow.svg``, the picture of the README. Run as a command it writes the file beside itself:

python docs/assets/data_flow.py
"""

from __future__ import annotations

from html import escape
from pathlib import Path

FILE = Path(__file__).with_name("data-flow.svg")
WIDTH, HEIGHT = 960, 330

LEARNER = "\n".join(
    ("experts per label", "mixed into probabilities", "label clusters, drift detectors", "label set chosen by the rule")
)

BOXES = {
    "instances": (20, 40, 130, 50, "topic", "instances", ""),
    "labels": (20, 130, 130, 50, "topic", "labels", "with it, or later"),
    "align": (200, 60, 120, 100, "step", "align", "by timestamp;\nlabels wait for\ntheir instance"),
    "encode": (350, 60, 120, 100, "step", "encode", "names to columns,\nvalues scaled"),
    "learn": (500, 40, 190, 140, "core", "learner", LEARNER),
    "commit": (720, 60, 90, 100, "step", "commit", "one Kafka\ntransaction"),
    "predictions": (840, 15, 110, 38, "topic", "predictions", ""),
    "events": (840, 63, 110, 38, "topic", "events", ""),
    "dead": (840, 111, 110, 38, "topic", "dead-letters", ""),
    "journal": (720, 240, 90, 62, "topic", "journal", "order, clock"),
    "snapshot": (500, 240, 190, 62, "store", "snapshots", "arrays and a manifest,\non disk or S3"),
    "metrics": (840, 240, 110, 62, "store", "metrics", "topic and\nPrometheus"),
}
"""Name to x, y, width, height, kind, title and small text."""

ARROWS = (
    ("instances", "align"),
    ("labels", "align"),
    ("align", "encode"),
    ("encode", "learn"),
    ("learn", "commit"),
    ("commit", "predictions"),
    ("commit", "events"),
    ("commit", "dead"),
)
DOWN = (("learn", "snapshot"), ("commit", "journal"))

STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1b2733; }
  .small { font-size: 11px; fill: #51606e; }
  .title { font-weight: 600; }
  rect { stroke-width: 1.2; rx: 6; }
  .topic { fill: #eef4fb; stroke: #5b8bc0; }
  .step { fill: #f7f7f5; stroke: #9aa3ab; }
  .core { fill: #fdf3e3; stroke: #d29536; }
  .store { fill: #eef7f0; stroke: #5ea26f; }
  path { fill: none; stroke: #51606e; stroke-width: 1.3; marker-end: url(#tip); }
  .dashed { stroke-dasharray: 4 3; }
"""


def _box(name: str) -> str:
    x, y, width, height, kind, title, small = BOXES[name]
    lines = small.split("\n") if small else []
    first = y + (height - 15 * len(lines)) / 2 + 4 - (3 if lines else 0)
    texts = [f'<text class="title" x="{x + width / 2}" y="{first}" text-anchor="middle">{escape(title)}</text>']
    texts += [
        f'<text class="small" x="{x + width / 2}" y="{first + 15 * row + 1}" text-anchor="middle">{escape(line)}</text>'
        for row, line in enumerate(lines, start=1)
    ]
    return f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}"/>' + "".join(texts)


def _arrow(start: str, end: str) -> str:
    x, y, width, height, *_ = BOXES[start]
    to_x, to_y, _, to_height, *_ = BOXES[end]
    middle, target = y + height / 2, to_y + to_height / 2
    turn = (x + width + to_x) / 2
    return f'<path d="M{x + width} {middle} H{turn} V{target} H{to_x - 3}"/>'


def _down(start: str, end: str) -> str:
    x, y, width, height, *_ = BOXES[start]
    to_y = BOXES[end][1]
    return f'<path class="dashed" d="M{x + width / 2} {y + height} V{to_y - 3}"/>'


def draw() -> str:
    """Return the picture as SVG."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="t">',
        '<title id="t">Instances and labels are aligned, encoded and given to the learner; answers, events, '
        "dead letters, the journal and consumed offsets commit in one Kafka transaction</title>",
        f"<style>{STYLE}</style>",
        '<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="6" refY="4" orient="auto">'
        '<path d="M0 0 L7 4 L0 8 z" style="fill:#51606e;stroke:none;marker-end:none"/></marker></defs>',
        f'<rect x="0" y="0" width="{WIDTH}" height="{HEIGHT}" style="fill:#ffffff;stroke:none"/>',
        *(_arrow(*arrow) for arrow in ARROWS),
        *(_down(*arrow) for arrow in DOWN),
        f'<path class="dashed" d="M{BOXES["journal"][0]} 268 H{BOXES["snapshot"][0] + BOXES["snapshot"][2] + 3}"/>',
        '<path class="dashed" d="M640 180 V212 H895 V237"/>',
        *(_box(name) for name in BOXES),
        '<text class="small" x="20" y="262">After a crash: the newest snapshot that verifies, then the</text>',
        '<text class="small" x="20" y="278">journalled batches since, give the same model to the last bit.</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    FILE.write_text(draw(), encoding="utf-8")

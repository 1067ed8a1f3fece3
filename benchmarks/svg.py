"""The few SVG elements that the pictures of a report are made of."""

from collections.abc import Iterable, Sequence
from html import escape

# Lines of 45° that a default need is hatched with.
HATCH = (
    '<defs><pattern id="hatch" width="5" height="5" patternUnits="userSpaceOnUse" '
    'patternTransform="rotate(45)"><path class="hatch" d="M0 0V5"/></pattern></defs>'
)


def svg(width: float, height: float, what: str, parts: Iterable[str]) -> str:
    """Return a picture; ``what`` is its name for those who do not see it."""
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" '
        f'aria-label="{escape(what)}">{"".join(parts)}</svg>'
    )


def text(x: float, y: float, content: str, anchor: str = "start") -> str:
    """Return a text at a point."""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(content)}</text>'


def upright(x: float, y: float, content: str) -> str:
    """Return a text that reads upwards and ends at a point."""
    return (
        f'<text transform="translate({x:g} {y:g}) rotate(-90)" text-anchor="end">'
        f"{escape(content)}</text>"
    )


def line(x1: float, y1: float, x2: float, y2: float, kind: str = "grid") -> str:
    """Return a straight line."""
    return f'<path class="{kind}" d="M{x1:g} {y1:g}L{x2:g} {y2:g}"/>'


def rect(
    x: float,
    y: float,
    width: float,
    height: float,
    kind: str,
    hover: str = "",
    **more: str,
) -> str:
    """Return a rectangle; ``hover`` is said when the pointer rests on it."""
    given = "".join(
        f' {name.replace("_", "-")}="{value}"' for name, value in more.items()
    )
    title = f"<title>{escape(hover)}</title>" if hover else ""
    return (
        f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{max(width, 0):.4g}" '
        f'height="{max(height, 0):.4g}"{given}>{title}</rect>'
    )


def stairs(x: Sequence[float], y: Sequence[float]) -> str:
    """Return the path that keeps ``y[i]`` from ``x[i]`` to ``x[i + 1]``."""
    path = [f"M{x[0]:g} {y[0]:g}"]
    for i in range(1, len(y)):
        if y[i] != y[i - 1]:
            path.append(f"H{x[i]:g}V{y[i]:g}")
    return "".join(path) + f"H{x[len(y)]:g}"


def legend(*entries: tuple[str, str]) -> str:
    """Return signs and what they stand for."""
    spans = (
        f'<span><svg viewBox="0 0 22 12">{sign}</svg>{escape(meaning)}</span>'
        for sign, meaning in entries
    )
    return f'<div class="legend">{"".join(spans)}</div>'

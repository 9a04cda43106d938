"""Charts: rates as small drawings in SVG, with their numbers in words for those who do not see them."""

from collections.abc import Sequence
from dataclasses import dataclass

from bus.console.watching import POINTS

WIDTH, HEIGHT = 270, 48


@dataclass(frozen=True)
class Chart:
    """Two lines in a box of WIDTH and HEIGHT, as the points of an SVG polyline."""

    arrived: str
    done: str
    words: str


def chart_of(arrived: Sequence[float], done: Sequence[float]) -> Chart:
    """The rates of the last 15 minutes, in messages a second."""
    most = max([*arrived, *done, 0.1])
    now_in, now_out = (values[-1] if values else 0.0 for values in (arrived, done))
    words = f"Messages in {now_in:.1f}/s, out {now_out:.1f}/s; in the last 15 minutes at most {most:.1f}/s."
    return Chart(_line(arrived, most), _line(done, most), words)


def _line(values: Sequence[float], most: float) -> str:
    step, first = WIDTH / (POINTS - 1), POINTS - len(values)
    points = (
        f"{(first + place) * step:.1f},{HEIGHT - 2 - (HEIGHT - 4) * value / most:.1f}"
        for place, value in enumerate(values)
    )
    return " ".join(points)

"""The pictures: spectra with their lines, and a Q-transform."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import matplotlib.style
import numpy as np
from lines import Line
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerLine2D
from matplotlib.lines import Line2D
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox
from strain import Spectrum, Strain, whitened
from truth import Known

NAMES = {"H1": "LIGO Hanford", "L1": "LIGO Livingston", "V1": "Virgo"}
COLOURS = {"H1": "#c8102e", "L1": "#1f6fb2", "V1": "#7b3fa0"}
LABELLED = 15
"""So many lines get their frequency written."""
TOGETHER = 0.03
"""Lines whose frequencies differ by less than this fraction share a label."""
Q = 48
"""Quality of the Q-transform: at 345 Hz it tells apart what is 7 Hz or 50 ms apart."""


def asd_picture(strain: Strain, spectrum: Spectrum, found: Sequence[Line]) -> bytes:
    """PNG of one detector's spectrum."""
    with _figure(10, 5) as figure:
        axes = figure.add_subplot()
        _draw_asd(axes, strain, spectrum, found)
        axes.set_xlabel("frequency [Hz]")
        axes.set_title(f"{_name(strain)}: the strongest narrow lines", loc="left", fontsize=13)
        axes.set_title(_when(strain), loc="right", fontsize=9, color="0.35")
        return _png(figure)


def overview(
    parts: Iterable[tuple[Strain, Spectrum, Sequence[Line]]], title: str, known: Mapping[str, Sequence[Known]]
) -> bytes:
    """PNG of several detectors' spectra, one under the other, with what is known of each shaded."""
    parts = list(parts)
    with _figure(11, 1.0 + 2.6 * len(parts)) as figure:
        panels = figure.subplots(len(parts), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (strain, spectrum, found) in zip(panels, parts, strict=True):
            _draw_asd(axes, strain, spectrum, found, known.get(strain.detector, ()))
            axes.set_title(_name(strain), loc="left", fontsize=11, color=_colour(strain))
            axes.set_title(_when(strain), loc="right", fontsize=8, color="0.35")
        panels[-1].set_xlabel("frequency [Hz]")
        figure.suptitle(title, fontsize=13)
        return _png(figure)


def q_picture(strain: Strain, spectrum: Spectrum) -> bytes:
    """PNG of the Q-transform of the whitened strain: the energy of each tile over that of a typical one."""
    lowest = 2 * spectrum.band[0]
    edge = min(0.1, 0.1 * strain.duration)
    start, stop = strain.gps + edge, strain.gps + strain.duration - edge
    result = whitened(strain, spectrum, lowest).q_transform(
        qrange=(Q, Q),
        frange=(lowest, min(2000.0, strain.rate / 4)),
        outseg=(start, stop),
        tres=(stop - start) / 1000,
        fres=600,
        logf=True,
        whiten=False,
        norm=False,
    )
    energy = np.asarray(result.value).T
    energy = np.maximum(energy / np.median(energy), 1.0)
    with _figure(10, 5) as figure:
        axes = figure.add_subplot()
        mesh = axes.pcolormesh(
            np.asarray(result.times.value) - strain.gps,
            np.asarray(result.frequencies.value),
            energy,
            norm=LogNorm(1, max(100.0, float(energy.max()))),
            cmap="magma",
            shading="nearest",
            rasterized=True,
        )
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set_ylabel("frequency [Hz]")
        axes.set_xlabel(f"seconds after GPS {strain.gps:.0f}")
        axes.set_title(f"{_name(strain)}: Q-transform (Q = {Q}), whitened", loc="left", fontsize=13)
        axes.set_title(_when(strain), loc="right", fontsize=9, color="0.35")
        figure.colorbar(mesh, label="energy / its median", pad=0.01)
        return _png(figure)


def _draw_asd(
    axes: Axes, strain: Strain, spectrum: Spectrum, found: Sequence[Line], known: Sequence[Known] = ()
) -> None:
    low, high = spectrum.band
    part = slice(round(low / spectrum.df), round(high / spectrum.df) + 1)
    frequencies, asd, background = spectrum.frequencies[part], spectrum.asd[part], spectrum.background[part]
    axes.loglog(frequencies, asd, color=_colour(strain), linewidth=0.7)
    axes.loglog(frequencies, background, color="0.2", linewidth=1.1, label="background")
    axes.loglog(
        [line.frequency for line in found],
        [line.asd for line in found],
        linestyle="none",
        marker="v",
        markersize=6,
        markerfacecolor="#f2a900",
        markeredgecolor="0.15",
        markeredgewidth=0.6,
        label=f"narrow lines ({len(found)})",
    )
    shaded = [one for one in known if one.present]
    for one in shaded:
        label = "known lines" if one is shaded[0] else None
        axes.axvspan(one.low, one.high, color="#2f9e44", alpha=0.25, linewidth=0, zorder=0, label=label)
    axes.set_ylim(np.percentile(background, 5) / 20, asd.max() * 100)
    axes.set_xlim(low * 0.95, high * 1.1)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_ylabel(r"strain / $\sqrt{\mathrm{Hz}}$")
    axes.grid(which="major", linewidth=0.4, alpha=0.6)
    axes.grid(which="minor", axis="x", linewidth=0.25, alpha=0.5)
    # gwpy changes how all lines look in legends: back to matplotlib's own way
    handler = {Line2D: HandlerLine2D(numpoints=1)}
    axes.legend(loc="upper right", bbox_to_anchor=(0.85, 1), fontsize=8, framealpha=0.9, handler_map=handler)
    _spread(
        axes,
        found,
        [
            axes.annotate(
                text,
                (frequency, height),
                (0, 6),
                textcoords="offset points",
                ha="center",
                fontsize=8,
                arrowprops={"arrowstyle": "-", "linewidth": 0.4, "color": "0.4", "shrinkB": 4},
            )
            for text, frequency, height in _labels(found)
        ],
    )


def _labels(found: Sequence[Line]) -> list[tuple[str, float, float]]:
    """Text and place (Hz, density) of the strongest lines' labels; neighbours share one."""
    groups: list[list[Line]] = []
    for line in sorted(found[:LABELLED], key=lambda line: line.frequency):
        if groups and line.frequency < groups[-1][-1].frequency * (1 + TOGETHER):
            groups[-1].append(line)
        else:
            groups.append([line])
    return [
        (
            ", ".join(f"{line.frequency:.0f}" for line in group)
            if len(group) < 4
            else f"{len(group)} lines\n{group[0].frequency:.0f}–{group[-1].frequency:.0f}",
            float(np.exp(np.mean([np.log(line.frequency) for line in group]))),
            max(line.asd for line in group),
        )
        for group in groups
    ]


def _spread(axes: Axes, found: Sequence[Line], labels: Sequence[Annotation]) -> None:
    """Raise labels, the lowest first, until none lies on another or on a line's mark."""
    figure = axes.get_figure(root=True)
    if figure is None:
        return
    figure.draw_without_rendering()
    point = figure.dpi / 72
    marks = (axes.transData.transform((line.frequency, line.asd)) for line in found)
    placed = [Bbox.from_bounds(x - 3 * point, y - 3 * point, 6 * point, 6 * point) for x, y in marks]
    for label in sorted(labels, key=lambda label: label.xy[1]):
        box = Text.get_window_extent(label).padded(point)
        raised = 0
        while any(_up(box, raised * point).overlaps(other) for other in placed):
            raised += 2
        x, y = label.get_position()
        label.set_position((x, y + raised))
        placed.append(_up(box, raised * point))


def _up(box: Bbox, by: float) -> Bbox:
    return Bbox.from_bounds(box.x0, box.y0 + by, box.width, box.height)


@contextmanager
def _figure(width: float, height: float) -> Iterator[Figure]:
    """An empty figure that looks the same whatever a user's matplotlibrc says."""
    with matplotlib.style.context("default"):
        figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
        FigureCanvasAgg(figure)
        yield figure


def _png(figure: Figure) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()


def _name(strain: Strain) -> str:
    return f"{NAMES[strain.detector]} ({strain.detector})" if strain.detector in NAMES else strain.detector


def _colour(strain: Strain) -> str:
    return COLOURS.get(strain.detector, "#2a6f4e")


def _when(strain: Strain) -> str:
    return f"{strain.channel}, GPS {strain.gps:.0f}, {strain.duration:g} s, {strain.rate:.0f} Hz"

"""Narrow lines in the amplitude spectral density of a time series.

Nothing here knows a frequency beforehand. The background at a frequency is the running median of the
spectrum around it, which a line, being narrow, hardly moves. A line is a bin that

* stands above the background by more than noise would anywhere in the band (see `threshold`),
* on both sides falls by a third or more (`FALL`) before anything higher comes, and
* is at half of its height not much wider than the window makes a pure sine (2 bins; `MAX_WIDTH` are
  allowed). The width is taken on the steeper side, twice, as the other may be the flank of a neighbour.

What one second of data can't do: the bins are 1 Hz apart, so two lines nearer than about 3 Hz may be seen
as one. The frequency is interpolated between the bins: good to a tenth of one where a strong line stands
alone, to half of one in a group.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage, signal

Array = npt.NDArray[np.float64]

WINDOW = "hann"
NOISE_WIDTH = 1.5
"""Equivalent noise bandwidth of the Hann window, in bins."""
MAX_WIDTH = 3.0
"""Widest line, in bins, at half of its height; a pure sine is 2.0 wide."""
FALL = 1.5
"""By this factor the spectrum falls on both sides of a line."""
MIN_MEDIAN = 21
"""Fewest bins from which a background is taken."""


@dataclass(frozen=True)
class Line:
    """A narrow line. Frequencies and widths in Hz, densities in the spectrum's unit (strain/sqrt(Hz))."""

    frequency: float
    """Interpolated between the bins."""
    asd: float
    """Height of the spectral density at the line (of its nearest bin)."""
    background: float
    """Running median of the spectral density there."""
    rms: float
    """Root-mean-square amplitude of the sine that makes such a line, in the unit of the time series."""
    width: float
    """Full width at half height: twice what it is on the steeper side."""

    @property
    def ratio(self) -> float:
        """How many times the line stands above its background."""
        return self.asd / self.background


def background(asd: Array, nbins: int) -> Array:
    """The running median over `nbins` bins (odd), of the same length as `asd`."""
    return np.asarray(ndimage.median_filter(asd, size=nbins, mode="nearest"), dtype=np.float64)


def threshold(nbins: int, nmedian: int, false_alarm: float) -> float:
    """The ratio to the background that noise exceeds with probability `false_alarm` anywhere in `nbins` bins.

    The power of Gaussian noise in a bin of ONE periodogram is exponentially distributed. The background is
    the median of n such powers (n = `nmedian` / `NOISE_WIDTH`, as the window ties neighbours together), and
    itself scatters. The chance that a power exceeds t medians is the Laplace transform of that order
    statistic, the product over i = 0 … k-1 of (n-i) / (n-i+t), with k = (n+1)/2. With several segments noise
    is rarer above the same ratio, so this is an upper limit then.
    """
    n = max(1, round(nmedian / NOISE_WIDTH))
    left = n - np.arange((n + 1) // 2, dtype=np.float64)

    def chance(t: float) -> float:
        return nbins * float(np.exp(-np.log1p(t / left).sum()))

    low, high = 0.0, 1.0
    while chance(high) > false_alarm:
        low, high = high, 2 * high
    while high - low > 1e-6 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if chance(middle) > false_alarm else (low, middle)
    return float(np.sqrt(high))


def find_lines(asd: Array, df: float, *, nmedian: int = 41, false_alarm: float = 1e-3) -> list[Line]:
    """The lines in `asd` (one-sided, Hann window, bin i at i * `df` Hz), the strongest ratio first.

    Searched is where the background has bins on both sides: `band(len(asd), nmedian)`.
    """
    first, last = band(len(asd), nmedian)
    floor = background(asd, nmedian)
    if not (np.all(np.isfinite(asd)) and np.all(floor[first:last] > 0)):
        raise ValueError("the spectrum has bins that are not finite, or is zero over a whole stretch")
    ratio = asd[first:last] / floor[first:last]
    least = threshold(last - first, nmedian, false_alarm)
    with np.errstate(divide="ignore"):
        height = np.log2(ratio)
    peaks, _ = signal.find_peaks(np.maximum(height, -60), height=np.log2(least), prominence=np.log2(FALL))
    lines = (_line(asd, floor, first + int(peak), df) for peak in peaks)
    narrow = (line for line in lines if line.width <= MAX_WIDTH * df)
    return sorted(narrow, key=lambda line: (-line.ratio, line.frequency))


def band(nbins: int, nmedian: int) -> tuple[int, int]:
    """First bin searched, and the one after the last; both ends leave half a median's width."""
    half = nmedian // 2
    if nmedian < MIN_MEDIAN or nbins < 2 * half + nmedian:
        raise ValueError(f"{nbins} bins are too few for a background over {nmedian} bins")
    return half + 1, nbins - half - 1


def _line(asd: Array, floor: Array, peak: int, df: float) -> Line:
    offset = _offset(asd, peak)
    height = float(asd[peak]) / float(np.sinc(offset) / (1 - offset**2))
    return Line(
        frequency=(peak + offset) * df,
        asd=float(asd[peak]),
        background=float(floor[peak]),
        rms=height * float(np.sqrt(NOISE_WIDTH * df)),
        width=2 * df * min(_half(asd, peak, +1, height) - offset, _half(asd, peak, -1, height) + offset),
    )


def _offset(asd: Array, peak: int) -> float:
    """How far, in bins, a line is from its highest bin.

    With a Hann window the height of the higher neighbour tells.
    """
    side = 1 if asd[peak + 1] >= asd[peak - 1] else -1
    share = float(asd[peak + side] / asd[peak])
    return side * min(max((2 * share - 1) / (share + 1), 0.0), 0.5)


def _half(asd: Array, peak: int, side: int, height: float) -> float:
    """Bins from the peak to where the spectrum is down to half of `height`; infinite if it rises before."""
    at = peak
    while 0 < at < len(asd) - 1:
        here, beyond = float(asd[at]), float(asd[at + side])
        if beyond > here:
            break
        if beyond <= height / 2:
            return abs(at - peak) + (here - height / 2) / (here - beyond)
        at += side
    return float("inf")

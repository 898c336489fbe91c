"""The strain of one detector in a run's directory, its spectrum and its whitened self."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lines
import numpy as np
from gwpy.timeseries import TimeSeries
from scipy.signal import butter, sosfiltfilt
from scipy.signal.windows import tukey

MEDIAN = 41
"""Bins of the running median behind the lines."""
SUFFIXES = (".hdf5", ".hdf", ".h5")


class StrainError(Exception):
    """A run's directory can't be used; the message says why."""


@dataclass(frozen=True)
class Strain:
    """What a run's directory holds. `series.value` has the shape (events,) and the unit strain."""

    detector: str
    channel: str
    series: TimeSeries

    @property
    def gps(self) -> float:
        """Start of the data, GPS seconds."""
        return float(self.series.t0.value)

    @property
    def rate(self) -> float:
        """Samples per second."""
        return float(self.series.sample_rate.value)

    @property
    def duration(self) -> float:
        """Length of the data in seconds."""
        return len(self.series) / self.rate


@dataclass(frozen=True)
class Spectrum:
    """One-sided amplitude spectral density in strain/sqrt(Hz); bin i of both arrays is at i * `df` Hz."""

    df: float
    asd: lines.Array
    background: lines.Array
    segments: int

    @property
    def frequencies(self) -> lines.Array:
        """In Hz."""
        return np.arange(len(self.asd), dtype=np.float64) * self.df

    def find_lines(self, false_alarm: float) -> list[lines.Line]:
        """The narrow lines, the strongest first."""
        return lines.find_lines(self.asd, self.df, nmedian=MEDIAN, false_alarm=false_alarm)

    def threshold(self, false_alarm: float) -> float:
        """Ratio to the background from which on something is a line."""
        first, last = lines.band(len(self.asd), MEDIAN)
        return lines.threshold(last - first, MEDIAN, false_alarm)

    @property
    def band(self) -> tuple[float, float]:
        """Where lines are searched, in Hz."""
        first, last = lines.band(len(self.asd), MEDIAN)
        return first * self.df, (last - 1) * self.df


def read(folder: Path) -> Strain:
    """Read run.json and the HDF5 file in `folder`, and hold the one against the other."""
    about = _about(folder / "run.json")
    detector, channel, events, start, stop = (_field(about, folder, key, kind) for key, kind in _FIELDS.items())
    files = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)
    if len(files) != 1:
        raise StrainError(f"{folder}: one HDF5 file is wanted, there are {len(files)}")
    try:
        with np.errstate(all="raise"):
            series = TimeSeries.read(files[0], channel, format="hdf5")
    except (OSError, KeyError, ValueError, TypeError, ArithmeticError) as error:
        raise StrainError(f"{files[0]}: no time series {channel!r} can be read from it: {error}") from error
    if len(series) != events:
        raise StrainError(f"{files[0]}: {len(series)} samples, but run.json says events = {events}")
    strain = Strain(detector, channel, series)
    if abs(strain.gps - start) * strain.rate > 1 or abs(strain.duration - (stop - start)) * strain.rate > 1:
        raise StrainError(
            f"{files[0]}: {strain.duration:g} s from GPS {strain.gps:.6f}, "
            f"but run.json says gps_start = {start}, gps_stop = {stop}"
        )
    bad = ~np.isfinite(series.value)
    if bad.any():
        first = float(series.times.value[bad][0])
        raise StrainError(f"{files[0]}: {bad.sum()} of {events} samples are not finite, the first at GPS {first:.6f}")
    if not np.ptp(series.value) > 0:
        raise StrainError(f"{files[0]}: all {events} samples are equal: that is no detector")
    return strain


def spectrum(strain: Strain, resolution: float) -> Spectrum:
    """The median over Hann-windowed segments of 1/`resolution` seconds that overlap by half (Welch's method).

    A second of data at 1 Hz is one segment only: then this is a periodogram, and as rough as one.
    """
    length = 1 / resolution
    if strain.duration < length:
        raise StrainError(
            f"{strain.detector}: {strain.duration:g} s of data are too short for {resolution:g} Hz: "
            f"that takes {length:g} s"
        )
    density = strain.series.detrend("linear").asd(
        fftlength=length,
        overlap=length / 2 if strain.duration >= 1.5 * length else 0,
        window=lines.WINDOW,
        method="median",
    )
    asd = np.asarray(density.value, dtype=np.float64)
    segments = max(1, int(2 * strain.duration / length + 1e-9) - 1)
    try:
        lines.band(len(asd), MEDIAN)
    except ValueError as error:
        raise StrainError(f"{strain.detector}: {error}") from error
    return Spectrum(float(density.df.value), asd, lines.background(asd, MEDIAN), segments)


def whitened(strain: Strain, spectrum: Spectrum, lowest: float) -> TimeSeries:
    """The strain above `lowest` Hz over its background: noise comes out flat, lines and transients stay."""
    n = len(strain.series)
    high = butter(8, lowest, "highpass", fs=strain.rate, output="sos")
    data = sosfiltfilt(high, np.asarray(strain.series.detrend("linear").value)) * tukey(n, 0.3)
    background = np.interp(np.fft.rfftfreq(n, 1 / strain.rate), spectrum.frequencies, spectrum.background)
    flat = np.fft.irfft(np.fft.rfft(data) / background, n)
    return TimeSeries(flat / np.std(flat), t0=strain.gps, sample_rate=strain.rate, name=strain.channel)


_FIELDS: dict[str, type] = {
    "detector": str,
    "channel": str,
    "events": int,
    "gps_start": float,
    "gps_stop": float,
}


def _about(path: Path) -> dict[str, Any]:
    try:
        about = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise StrainError(f"{path}: can't be read: {error}") from error
    if not isinstance(about, dict):
        raise StrainError(f"{path}: an object is wanted")
    return about


def _field(about: dict[str, Any], folder: Path, key: str, kind: type) -> Any:
    value = about.get(key)
    if kind is float and isinstance(value, int):
        value = float(value)
    if not isinstance(value, kind) or isinstance(value, bool) or not value:
        raise StrainError(f"{folder / 'run.json'}: {key} = {value!r}; a {kind.__name__} is wanted")
    return value

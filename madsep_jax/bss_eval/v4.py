"""BSSEval v4 (one set of distortion filters for a song) and v3 (images; filters of each segment's own)."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from madsep_jax.bss_eval.energies import Energies, Ratios, fft_length, ratios_of, song_energies, window_energies
from madsep_jax.bss_eval.filters import Filters, correlate, solve_filters
from madsep_jax.bss_eval.song import Song, Windows, cut
from madsep_jax.ops.choice import kind_of
from madsep_jax.ops.precision import double_precision, double_precision_device

#: Windows that are cut, and handed over, at a time; fewer where the songs have fewer.
_WINDOWS = 4


def score_windows(
    songs: Sequence[Song], *, window: float, hop: float, taps: int, device: jax.Device | None = None
) -> list[Ratios]:
    """Return of each song SDR, ISR, SIR and SAR in dB, (E, S, W), by BSSEval v4 (images), without permutation.

    Songs, and the estimates of a song, are computed together; a song's references are analysed once for all of them. A
    window in which a reference, or a source of an estimate, is silent is NaN for all sources of that estimate.

    Args:
        songs: of the same numbers of sources, estimates and channels; their lengths may differ.
        window: length of a window in samples; math.inf for the whole song.
        hop: samples from one window to the next.
        taps: of the distortion filters.
        device: that computes, in float64; by default `madsep_jax.ops.precision.double_precision_device`.

    Raises:
        InputError: where there is no such device.
    """
    windows_B = [Windows.of_song(song.samples, window, hop) for song in songs]
    silent_B = [song.silent(windows) for song, windows in zip(songs, windows_B, strict=True)]
    if all(silent_EW.all() for silent_EW in silent_B):
        return [_without_scores(song, windows) for song, windows in zip(songs, windows_B, strict=True)]
    device = device or double_precision_device()
    with double_precision(), jax.default_device(device):
        correlation_BKAT = correlate(songs, taps)
        filters = solve_filters(correlation_BKAT, len(songs[0].reference_SNC), taps, kind_of(device))
        whole = all(windows.length == song.samples for song, windows in zip(songs, windows_B, strict=True))
        energies_BESW = _song_energies(songs, correlation_BKAT, filters) if whole else None
        if energies_BESW is None:
            energies_BESW = _window_energies(songs, windows_B, filters, exact=window, target=kind_of(device))
    ratios = []
    for number, windows in enumerate(windows_B):
        energies_ESW = Energies(
            *(np.asarray(energy_BESW)[number, ..., : windows.count] for energy_BESW in energies_BESW)
        )
        ratios.append(ratios_of(energies_ESW, silent_B[number]))
    return ratios


def _without_scores(song: Song, windows: Windows) -> Ratios:
    estimates, sources = song.estimate_ESNC.shape[:2]
    return Ratios(*(np.full((estimates, sources, windows.count), np.nan) for _ in Ratios._fields))


def _song_energies(songs: Sequence[Song], correlation_BKAT: jax.Array, filters: Filters) -> Energies | None:
    """Return the energies over songs of one window each, (B, E, S, 1); None where that is not exact enough."""
    found = []
    for song, correlation_KAT, *of_song in zip(songs, correlation_BKAT, *filters, strict=True):
        energies_ES = song_energies(song, correlation_KAT, Filters(*of_song))
        if energies_ES is None:
            return None
        found.append(energies_ES)
    return jax.tree.map(lambda *energy_ES: np.stack(energy_ES)[..., None], *found)


def _window_energies(
    songs: Sequence[Song], windows_B: Sequence[Windows], filters: Filters, *, exact: float, target: str
) -> Energies:
    """Return the energies over windows, (B, E, S, W); what is beyond a song's last window means nothing.

    Windows that are not `exact` samples long are padded. The target is the kind of the device that the filters lie on.
    """
    length, count = max(windows.length for windows in windows_B), max(windows.count for windows in windows_B)
    taps = filters.onto_all_BESKCL.shape[-1]
    fft = fft_length(length + taps - 1, exact=length == exact)
    if length != exact:  # zeros change nothing, and make one shape of songs of any length
        length = fft - taps + 1
    at_a_time = min(_WINDOWS, 1 << (count - 1).bit_length())
    hop = max(windows_B, key=lambda windows: windows.count).hop
    spectra = _spectra(filters, fft=fft)
    parts: list[Energies] = []
    for first in range(0, count, at_a_time):
        x_BWAN = cut(songs, range(first * hop, (first + at_a_time) * hop, hop), length)
        parts.append(_energies(x_BWAN, *spectra, fft=fft, one_by_one=target == "cpu"))
    return jax.tree.map(lambda *part_BESW: np.concatenate(part_BESW, axis=-1), *parts)


@functools.partial(jax.jit, static_argnames="fft")
def _spectra(filters: Filters, *, fft: int) -> tuple[jax.Array, jax.Array]:
    return jnp.fft.rfft(filters.onto_all_BESKCL, fft), jnp.fft.rfft(filters.onto_own_BESCCL, fft)


@functools.partial(jax.jit, static_argnames=("fft", "one_by_one"))
def _energies(
    x_BWAN: jax.Array, onto_all_BESKCF: jax.Array, onto_own_BESCCF: jax.Array, *, fft: int, one_by_one: bool
) -> Energies:
    """Return the energies of windows, (B, E, S, W): on a CPU one by one, as one's spectra then stay in the cache."""

    def of_song(x_WAN: jax.Array, onto_all_ESKCF: jax.Array, onto_own_ESCCF: jax.Array) -> Energies:
        of_window = functools.partial(
            window_energies, onto_all_ESKCF=onto_all_ESKCF, onto_own_ESCCF=onto_own_ESCCF, fft=fft
        )
        return jax.lax.map(of_window, x_WAN) if one_by_one else jax.vmap(of_window)(x_WAN)

    energies = jax.vmap(of_song)(x_BWAN, onto_all_BESKCF, onto_own_BESCCF)
    return Energies(*(jnp.moveaxis(energy_BWES, 1, -1) for energy_BWES in energies))


def score_segments(song: Song, windows: Windows, taps: int, device: jax.Device | None = None) -> Ratios:
    """Score the estimates of a song by BSSEval images, each segment as if it were a song, without permutation.

    Taps, device, results and errors are those of `score_windows`.

    Source: E. Vincent, S. Araki, P. Bofill, The 2008 Signal Separation Evaluation Campaign, ICA 2009 (BSS Eval 3.0).
    """
    segments = []
    for start in windows.starts():
        span = slice(start, start + windows.length)
        part = Song(song.reference_SNC[:, span], song.estimate_ESNC[:, :, span])
        # a whole song may have any length, segments all have the same
        length = windows.length if windows.count > 1 else np.inf
        segments.append(score_windows([part], window=length, hop=length, taps=taps, device=device)[0])
    return jax.tree.map(lambda *ratio_ESW: np.concatenate(ratio_ESW, axis=-1), *segments)

"""A small ablation on a folder of songs, for what it says of bad input."""

from experiments.ablation import main

SMALL = ["--set", "signal.sample_rate=8000", "signal.window_length=257", "signal.hop_length=48"]
SMALL += [
    "signal.fft_length=512",
    "--systems",
    "dws-1-4",
    "--seeds",
    "1",
    "--steps",
    "1",
    "--batch",
    "2",
    "--processes",
    "1",
]


def run_small(tmp_path, songs, out):
    """Run it; returns the exit code."""
    return main([*SMALL, "--data", str(songs), "--out", str(out), "--cache", str(tmp_path / "cache")])


def error_line(capsys):
    """The one line on stderr."""
    text = capsys.readouterr().err
    assert text.startswith("ablation: ")
    assert text.index("\n") == len(text) - 1
    return text

"""Show what trained separators have learnt, as matrices from the mixture's spectrum to the voice's.

The neural couplings algorithm (`madsep_jax.couplings.fit`) on the test songs, of one separator or of all rows of an
ablation beside each other: `python -m experiments.couplings --checkpoint runs/quick-embedded -o runs/couplings`
A step of full-size spectra (2049 bins, 1024 frames) takes two CPU cores about 0.2 s in the student form, 1.1 s in the
compositional one of two layers, 2.3 s of four; at a quarter of the size (513 bins) a twentieth or less.
"""

import sys
from collections.abc import Sequence

from cyclopts import App

from experiments.cli.command import run
from experiments.cli.console import ANY_DEVICE, DeviceOptions, make_console, say, show_device
from experiments.coupling_maps.options import CouplingsOptions
from madsep_jax.errors import InputError, shown

_USAGE = "Usage: python -m experiments.couplings --checkpoint FOLDER… --out DIR [OPTIONS]"

app = App(name="couplings", usage=_USAGE, help=__doc__.split("\n\n")[0])


@app.default
def couplings(*, options: CouplingsOptions, device: DeviceOptions = ANY_DEVICE) -> None:
    """Show what trained separators have learnt, as matrices from the mixture's spectrum to the voice's."""
    from experiments.cli.results import Report, show_results
    from experiments.coupling_maps.compare import compared, comparison_table
    from experiments.coupling_maps.fit import choose_fit
    from experiments.coupling_maps.maps import draw_maps, load_test_songs, make_map
    from experiments.coupling_maps.trained import find_trained
    from experiments.pages.page import write_page

    console = make_console()
    show_device(console, device)
    found = find_trained(options, console)
    several = len(found) > 1
    fits = [choose_fit(options, one.config, one.system, several) for one in found]
    songs = load_test_songs(options, found[0].config, console)
    made = []
    for one, fit_config in zip(found, fits, strict=True):
        folder = options.out / one.name if several else options.out
        try:
            made.append(make_map(one, fit_config, songs, folder, options, console))
        except InputError as error:  # of several the others are shown
            if not several:
                raise
            say(console, f"{one.name}: left out: {error}")
    if not made:
        raise InputError(f"--checkpoint: found {len(found)} separators without a map, expected one that has one")
    top = draw_maps(made)
    if several:
        content = compared([one.content for one in made], top)
        Report("couplings", content, [comparison_table(content)]).finish(console, options.out)
    else:
        console.print(made[0].table.terminal(options.out / "table.md"))
        console.print(made[0].table.caption, markup=False)
        show_results(console, options.out, "couplings.json", "couplings.npz", "two pictures")
    say(console, f"Page: {shown(write_page([options.out]))}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(app, argv)


if __name__ == "__main__":
    sys.exit(main())

"""Rows without models whose jobs take no time, and a Slurm of shell scripts."""

import dataclasses
import json
import os
import stat
from pathlib import Path

from experiments.cli.console import make_console
from experiments.jobs.executor import LaunchOptions
from experiments.rows import launch as launching
from experiments.rows.folder import ExperimentFolder
from experiments.rows.options import AblationOptions, RunOptions
from experiments.rows.plan import make_plan
from experiments.rows.row import RowResult
from madsep_jax.config.io import to_dict

#: Runs rows as `behaviour/ROW` says, and notes each run.
RUN_ROWS = """
for row; do
    echo $row >> $FAKE/runs
    [ -f $FAKE/behaviour/$row ] && . $FAKE/behaviour/$row
    cp $FAKE/results/$row $OUT/rows/$row/.row.json && mv $OUT/rows/$row/.row.json $OUT/rows/$row/row.json
done
"""
SBATCH = """
id=$((100 + $(ls $FAKE/sbatch | wc -l)))
cp "$1" $FAKE/sbatch/$id
echo PENDING > $FAKE/state/$id
echo "Submitted batch job $id"
[ -z "$RUN_JOBS" ] || SLURM_JOB_ID=$id setsid sh $FAKE/bin/run $id > /dev/null 2>&1 &
"""
RUN = """
cd "$DIRECTORY"
echo RUNNING > $FAKE/state/$1
if bash $FAKE/sbatch/$1; then echo COMPLETED; else echo FAILED; fi > $FAKE/state/$1.end
[ -f $FAKE/state/$1.requeued ] || cp $FAKE/state/$1.end $FAKE/state/$1
"""
SRUN = """
while :; do case "$1" in
    --output) output=$2; shift 2;;
    --*) shift;;
    *) break;;
esac; done
exec "$@" >> $(echo $output | sed "s/%j/$SLURM_JOB_ID/;s/%t/0/") 2>&1
"""
SQUEUE = """
cd $FAKE/state
for id in $(ls | grep -v end); do echo "$id $(cat $id)"; done | grep -E 'PENDING|RUNNING'
exit 0
"""
SACCT = """
echo 'JobID|State|NodeList'
for id in $(ls $FAKE/accounting); do echo "$id|$(cat $FAKE/accounting/$id)|node1"; done
"""
SCONTROL = """
echo "$@" >> $FAKE/scontrol
"""


class Jobs:
    """An experiment of rows that a shell script runs."""

    def __init__(self, folder: Path, songs: Path, monkeypatch) -> None:
        self.folder, self.songs, self.out = folder, songs, folder / "out"
        self.with_references = False
        """Whether those rows are run as well; else they are finished from the beginning."""
        for name in ("behaviour", "results", "sbatch", "state", "accounting", "bin"):
            (folder / name).mkdir()
        (folder / "bin" / "rows").write_text(RUN_ROWS)
        monkeypatch.setenv("FAKE", str(folder))
        monkeypatch.setenv("OUT", str(self.out))
        monkeypatch.setenv("DIRECTORY", os.getcwd())
        monkeypatch.setattr(launching, "_POLL_S", 0.05)
        monkeypatch.setattr(launching, "command_of_job", lambda options, rows: ["sh", str(folder / "bin/rows"), *rows])

    def add_slurm(self, monkeypatch) -> None:
        """Put sbatch and its like into the path."""
        scripts = {"sbatch": SBATCH, "srun": SRUN, "squeue": SQUEUE, "sacct": SACCT, "scontrol": SCONTROL, "run": RUN}
        for name, text in scripts.items():
            path = self.folder / "bin" / name
            path.write_text(f"#!/bin/sh\n{text}")
            path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{self.folder / 'bin'}:{os.environ['PATH']}")

    def behave(self, row: str, text: str) -> None:
        (self.folder / "behaviour" / row).write_text(text)

    def prepare(self, *systems: str, seeds: int = 1, together: bool = False, **launch_options):
        """Make the folder of the experiment; returns what the launcher takes."""
        options = AblationOptions(
            systems=systems,
            seeds=seeds,
            vectorize_seeds=together,
            data=str(self.songs),
            run=RunOptions(batch=1, steps=600),
            out=self.out,
            set=("signal.sample_rate=8000",),
            launch=LaunchOptions(**{"launcher": "local", **launch_options}),
        )
        plan = make_plan(options)
        for row in plan.rows:
            config = to_dict(row.config) if row.config else None
            result = RowResult(system=row.system, seed=row.seed, config=config)
            (self.folder / "results" / row.folder_name).write_text(json.dumps(dataclasses.asdict(result)))
        folder = ExperimentFolder.find(plan.out, plan.base, plan.songs.fingerprint())
        folder.create()
        for row in plan.rows:
            if row.config is None and not self.with_references:
                folder.finish(row, RowResult(system=row.system, seed=None))
        return plan, folder, options

    def launch(self, *systems: str, **options) -> int:
        """Run the launcher; returns its exit code."""
        return launching.launch(*self.prepare(*systems, **options), make_console())

    def runs(self) -> list[str]:
        """The rows that were run, in order."""
        path = self.folder / "runs"
        return path.read_text().split() if path.is_file() else []

    def table(self) -> list[str]:
        """The systems of the table."""
        rows = json.loads((self.out / "results.json").read_text())["rows"]
        return [row["system"] + ("" if row["seed"] is None else f"-seed{row['seed']}") for row in rows]

"""Give rows to jobs, wait for them, and collect what they have finished."""

import dataclasses
import os
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.cli.console import say
from experiments.cli.options import arguments_of
from experiments.cli.results import show_results
from experiments.cli.signals import keeps, unhurried
from experiments.jobs.executor import LaunchOptions, Shares, submit
from experiments.jobs.record import JobRecord
from experiments.jobs.row_command import RowCommand, read_end
from experiments.pages.page import REPORT
from experiments.rows.folder import ExperimentFolder, RowState, row_groups, row_state
from experiments.rows.live import LiveRows
from experiments.rows.options import AblationOptions
from experiments.rows.plan import Plan
from experiments.rows.report import ALL_FAILED, show, update_report
from experiments.rows.row import PlannedRow
from madsep_jax.host.locks import lock

_POLL_S = 2.0
_LEAVE_S, _END_S = 10.0, 60.0

#: How many jobs a row is given to at most: one that was stopped from outside has saved how far it had come.
_MOST_STARTS = 20


def launch(plan: Plan, folder: ExperimentFolder, options: AblationOptions, console: Console) -> int:
    """Run the rows as jobs; returns the exit code: 1 where a job has ended without its row.

    A row that is finished, or that a process or another job is at, is not submitted.
    """
    launcher = _Launcher(plan, folder, options)
    finished = -1
    try:
        with LiveRows(console, plan, options.vectorize_seeds) as rows:
            while True:
                states = launcher.submit_what_is_due()
                rows.show(states)
                if (now := sum(state.kind == "finished" for state in states.values())) != finished:
                    finished = now
                    update_report(plan, folder)
                if options.launch.no_wait or not launcher.has_more(states):
                    break
                time.sleep(_POLL_S)
    except KeyboardInterrupt:
        keeps()
        if options.launch.launcher == "slurm":
            say(console, "The jobs go on. The same command waits for them again.")
        else:
            say(console, "Ending the jobs, which save how far they are.")
            with unhurried():
                launcher.end_jobs()
        raise
    launcher.wait_for_processes(_LEAVE_S)  # of finished rows, which are about to end
    show(console, plan, update_report(plan, folder, with_page=True))
    return launcher.report_the_rest(states, console)


def command_of_job(options: AblationOptions, rows: tuple[str, ...]) -> list[str]:
    """Return the command that runs rows, which are named by their folders."""
    of_job = dataclasses.replace(options, launch=LaunchOptions(), only_rows=rows)
    return [sys.executable, "-m", "experiments.ablation", *arguments_of(of_job)]


class _Launcher:
    """What has been submitted by this command."""

    def __init__(self, plan: Plan, folder: ExperimentFolder, options: AblationOptions) -> None:
        self._plan, self._folder, self._options = plan, folder, options
        self._groups = row_groups(plan.rows, options.vectorize_seeds)
        self._shares = Shares(options.launch)
        self._submitted: list[Any] = []
        self._seen: set[str] = set()
        """Ids of the jobs that were alive since this command began."""
        self._starts: Counter[str] = Counter()

    def submit_what_is_due(self) -> dict[str, RowState]:
        """Submit as many jobs as are to run at a time; returns the states of all rows by their folders' names."""
        for job in self._submitted:
            if job.done():  # which also takes leave of a process that has ended
                self._shares.give_back(job.job_id)
        with lock(self._folder.path / ".launch.lock"):  # of several launchers, one looks and submits at a time
            states = {row.folder_name: row_state(row, self._folder) for row in self._plan.rows}
            self._seen |= {state.job.job_id for state in states.values() if state.taken and state.job}
            for group in self._groups:
                if self._room(states) > 0 and self._is_due(group, states):
                    self._submit([row for row in group if states[row.folder_name].kind != "finished"])
                    states |= {row.folder_name: row_state(row, self._folder) for row in group}
        return states

    def has_more(self, states: dict[str, RowState]) -> bool:
        """Whether anything is being run, or is to be."""
        return any(state.taken for state in states.values()) or any(self._is_due(one, states) for one in self._groups)

    def end_jobs(self) -> None:
        """End the jobs of this machine that this command has started."""
        for job in self._submitted:
            if not job.done():
                os.kill(int(job.job_id), signal.SIGTERM)
        self.wait_for_processes(_END_S)

    def wait_for_processes(self, seconds: float) -> None:
        """Wait for the processes of this machine that this command has started."""
        until = time.monotonic() + seconds
        while self._options.launch.launcher == "local" and time.monotonic() < until:
            if all([job.done() for job in self._submitted]):
                break
            time.sleep(0.02)

    def report_the_rest(self, states: dict[str, RowState], console: Console) -> int:
        """Say what is not finished, and why; returns the exit code."""
        ended = [(row, state.job) for row in self._plan.rows if (state := states[row.folder_name]).kind == "ended"]
        for row, job in ended:
            if job:
                end = read_end(row.folder(self._plan.out), job.job_id)
                how = "was ended from outside" if end is None else f"ended with exit code {end}"
                say(console, f"{row.folder_name}: job {job.job_id} {how}: {job.last_line()} (log: {job.log})")
        taken = sum(state.taken for state in states.values())
        if taken:
            say(console, f"{taken} rows are with jobs or other processes; the same command shows how far they are")
        show_results(console, self._plan.out, REPORT, "table.md", "results.csv", "results.json", "plots")
        if failed := self._folder.all_failed(self._plan.rows):
            say(console, ALL_FAILED)
        return 1 if ended or failed else 0

    def _room(self, states: dict[str, RowState]) -> int:
        """How many more jobs may run."""
        limit = self._options.launch.jobs or (1 if self._options.launch.launcher == "local" else len(self._groups))
        return limit - sum(any(states[row.folder_name].taken for row in group) for group in self._groups)

    def _is_due(self, group: Sequence[PlannedRow], states: dict[str, RowState]) -> bool:
        """Whether a group has rows left to do, nobody is at any of them, and no job of now has failed at them."""
        left = [row for row in group if states[row.folder_name].kind != "finished"]
        return bool(left) and all(self._is_free(row, states[row.folder_name]) for row in left)

    def _is_free(self, row: PlannedRow, state: RowState) -> bool:
        if state.taken or state.job is None or state.job.job_id not in self._seen:
            return not state.taken
        stopped = read_end(row.folder(self._plan.out), state.job.job_id) == 0  # from outside, and has saved before
        return stopped and self._starts[row.folder_name] < _MOST_STARTS

    def _submit(self, rows: Sequence[PlannedRow]) -> None:
        options, folders = self._options, [row.folder(self._plan.out) for row in rows]
        names = tuple(row.folder_name for row in rows)
        command = command_of_job(options, names)
        absolute = [str(folder.absolute()) for folder in folders]
        share = self._shares.free()
        job = submit(
            options.launch,
            name=f"madsep-{names[0]}" + (f"-and-{len(names) - 1}-more" if names[1:] else ""),
            folder=folders[0] / "jobs",
            command=RowCommand(command, str(Path.cwd()), absolute, share.variables, share.cores),
        )
        self._shares.take(share, job.job_id)
        self._submitted.append(job)
        self._seen.add(job.job_id)
        self._starts.update(names)
        launcher, log = str(options.launch.launcher), str(job.paths.stdout)
        record = JobRecord(launcher, job.job_id, socket.gethostname(), time.time(), log, command)
        for folder in folders:
            record.write(folder)

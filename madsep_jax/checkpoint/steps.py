"""The checkpoints in a folder, a step each, as Orbax keeps them. This is the only module that knows Orbax."""

import dataclasses
import errno
import logging
import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from orbax.checkpoint import checkpoint_managers as policies

from madsep_jax.checkpoint.checks import MisfitError, check_shapes, find_damage, write_checksums
from madsep_jax.config.training import SavingConfig
from madsep_jax.errors import InputError, first_line, shown
from madsep_jax.host.files import aside_of, clear_leftovers, write_json

_NOTES = "notes"

#: What Orbax calls the item, and the file in it, of how good a checkpoint is.
_SCORE = "metrics"


@dataclass(frozen=True)
class Score:
    """How good a checkpoint is."""

    name: str
    """Of what the value is: a loss, SDR."""
    value: float
    higher_is_better: bool = False
    validated: bool = False
    """Whether it is of songs that were not trained on; any such score outranks all others."""

    def rank(self) -> tuple[bool, float]:
        """Return what grows with how good it is."""
        return self.validated, self.value if self.higher_is_better else -self.value


class OrbaxSteps:
    """Reads, and with `saving` writes, the checkpoints in a folder.

    A checkpoint has named items, which are trees of arrays, and notes, a JSON object. It is written aside and renamed
    when it is whole, in the background: the arrays are copied first, so that they may be written over at once. Of those
    in the folder, the ones that `saving` keeps stay. What a killed process had begun to write is cleared away.
    """

    def __init__(self, folder: Path, items: tuple[str, ...], saving: SavingConfig | None = None) -> None:
        """Take the folder, its items' names, and which steps to keep; None for reading only, which changes nothing.

        Raises InputError where it cannot be read, or written.
        """
        self._shown, self._folder = folder, folder.absolute()
        self._step: int | None = None
        self._under_way = False
        logging.getLogger("absl").addFilter(_not_from_orbax)  # for good: its threads may outlive the manager
        try:
            options = _reading() if saving is None else self._writing(saving)
            self._manager = ocp.CheckpointManager(self._folder, options=options, item_names=(*items, _NOTES))
        except (OSError, ValueError) as error:  # of the folder, or of a damaged score in it
            what = "read" if saving is None else "written"
            raise InputError(f"{shown(folder)}: cannot be {what}: {_reason(error)}") from error

    def all(self) -> list[int]:
        """Return the steps that are there, in order."""
        return sorted(self._manager.all_steps())

    def best(self) -> int | None:
        """Return the step with the best score, the last one where none has any; None where there are no steps."""
        return self._manager.best_step() or max(self.all(), default=None)

    def write(self, step: int, items: Mapping[str, Any], notes: Mapping[str, Any], score: Score | None = None) -> None:
        """Copy the arrays and begin to write them; the last save is waited for first.

        Raises:
            InputError: where this checkpoint, or the last one, cannot be written.
        """
        self.wait()
        if step in self._manager.all_steps():
            self._manager.delete(step)
        args = {name: ocp.args.StandardSave(tree) for name, tree in items.items()}
        self._step = step
        self._check_room(items)
        self._under_way = True
        try:
            composite = ocp.args.Composite(**args, **{_NOTES: ocp.args.JsonSave(dict(notes))})
            self._manager.save(step, args=composite, metrics=_metrics(score), force=True)
        except Exception as error:
            raise self._not_written(_reason(error)) from error

    def add_score(self, step: int, score: Score) -> None:
        """Say how good a checkpoint without a score is. Raises InputError where that cannot be written."""
        self.wait()
        place = self._folder / str(step) / _SCORE
        metrics, aside = _metrics(score), aside_of(place)
        if metrics is None or place.exists():
            return
        self._step = step
        try:
            clear_leftovers(place.parent)
            write_json(aside / _SCORE, metrics)
            aside.rename(place)
        except OSError as error:
            raise self._not_written(_reason(error)) from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        self._manager.reload()

    def check(self) -> None:
        """Raise InputError where the last save has failed meanwhile."""
        if self._under_way and not self._manager.is_saving_in_progress():
            self.wait()

    def wait(self) -> None:
        """Wait for what is being written. Raises InputError where it cannot be written."""
        self._under_way = False
        try:
            self._manager.wait_until_finished()
        except Exception as error:
            raise self._not_written(_reason(error)) from error

    def restore(self, step: int, item: str, like: Any) -> Any:
        """Return an item, placed on this process's first device, whatever device it was saved from.

        Raises:
            InputError: where it is damaged.
            MisfitError: where its arrays are not those of the tree that is given.
        """
        here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        template = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=here), like)
        self._check_files(step, item)
        try:
            handler = ocp.StandardCheckpointHandler(multiprocessing_options=_alone())
            saved = handler.metadata(epath.Path(self._folder) / str(step) / item)
            check_shapes(saved, template, f"{self._shown}: the {item} of step {step}")
            return self._restore(step, item, ocp.args.StandardRestore(template))
        except MisfitError:
            raise
        except Exception as error:  # Orbax raises bare ones for damaged files
            raise self._not_read(step, item, _reason(error)) from error

    def notes(self, step: int) -> dict[str, Any]:
        """Return the notes of a step; none where there are none. Raises InputError where they are damaged."""
        self._check_files(step, _NOTES)
        if not (self._folder / str(step) / _NOTES).is_dir():
            return {}
        try:
            return dict(self._restore(step, _NOTES, ocp.args.JsonRestore()))
        except Exception as error:
            raise self._not_read(step, _NOTES, _reason(error)) from error

    def _restore(self, step: int, item: str, args: Any) -> Any:
        return self._manager.restore(step, args=ocp.args.Composite(**{item: args}))[item]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Wait for what is being written. Raises InputError where it cannot be, unless something else went wrong."""
        try:
            self.wait()
        except InputError:
            if kind is None:
                raise
        finally:
            self._manager.close()

    def _writing(self, saving: SavingConfig) -> ocp.CheckpointManagerOptions:
        self._folder.mkdir(parents=True, exist_ok=True)
        kept: list[Any] = [
            policies.LatestN(saving.keep_last),
            policies.BestN(get_metric_fn=_rank, n=1, keep_checkpoints_without_metrics=False),
        ]
        if saving.keep_every is not None:
            kept.append(policies.EveryNSteps(saving.keep_every))
        return ocp.CheckpointManagerOptions(
            create=False,
            cleanup_tmp_directories=True,
            preservation_policy=policies.AnyPreservationPolicy(kept),
            best_fn=_rank,
            enable_async_checkpointing=True,
            async_options=ocp.AsyncOptions(post_finalization_callback=self._add_checksums),
            multiprocessing_options=_alone(),
        )

    def _add_checksums(self) -> None:
        """Run by Orbax in the background, when all files of a step are written, and before it gets its final name."""
        for folder in self._folder.glob(f"{self._step}.*tmp*"):
            write_checksums(folder)

    def _check_room(self, items: Mapping[str, Any]) -> None:
        """Raise InputError where the disk has no room for the arrays: Orbax would leave failing writes behind."""
        needed = sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(items))
        free = shutil.disk_usage(self._folder).free
        if free < needed:
            found = f"{free / 1e6:.1f} MB free, expected {needed / 1e6:.1f} MB"
            raise self._not_written(f"{os.strerror(errno.ENOSPC)}: {found}")

    def _check_files(self, step: int, item: str) -> None:
        if damage := find_damage(self._folder / str(step), item):
            raise self._not_read(step, item, damage)

    def _not_read(self, step: int, item: str, reason: str) -> InputError:
        return InputError(f"{self._shown}: the {item} of step {step} cannot be read: {reason}")

    def _not_written(self, reason: str) -> InputError:
        return InputError(f"{self._shown}: the checkpoint of step {self._step} cannot be written: {reason}")


def _not_from_orbax(record: logging.LogRecord) -> bool:
    """Drop what Orbax logs: tracebacks of errors that it raises as well."""
    return f"{os.sep}orbax{os.sep}" not in record.pathname


def _reading() -> ocp.CheckpointManagerOptions:
    return ocp.CheckpointManagerOptions(
        create=False, best_fn=_rank, enable_async_checkpointing=False, multiprocessing_options=_alone()
    )


def _alone() -> ocp.options.MultiprocessingOptions:
    """This process by itself: Orbax would wait for the others of a training, which need not read or write now."""
    process = jax.process_index()
    return ocp.options.MultiprocessingOptions(
        primary_host=process, active_processes={process}, barrier_sync_key_prefix=f"process{process}"
    )


def _metrics(score: Score | None) -> dict[str, Any] | None:
    """Return what is kept of a score: nothing of one that is no number."""
    return None if score is None or math.isnan(score.value) else dataclasses.asdict(score)


def _rank(metrics: Mapping[str, Any]) -> Any:
    return Score(**metrics).rank()


def _reason(error: Exception) -> str:
    """Return the first line of what an error says, or what the system says of a disk."""
    for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES):
        if os.strerror(code) in str(error):
            return os.strerror(code)
    return first_line(error)

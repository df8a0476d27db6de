"""The configuration that the options of the ablation come to, to be read."""

import json
from typing import Any

from experiments.data.prepared import PreparedTraining
from experiments.rows.options import AblationOptions
from experiments.rows.plan import base_config, make_rows
from madsep_jax.config.io import to_flat
from madsep_jax.config.presets import preset_config


def resolved(options: AblationOptions) -> str:
    """Return every field by its dotted name; a line whose value was changed says what the preset has.

    First what all rows have in common, then what each of them sets: its masker, its seed, and what its system asks for.
    Nothing is read but what a prepared set says of itself. Raises InputError where an option cannot be used.
    """
    prepared = PreparedTraining.find(options.prepared) if options.prepared else None
    base = base_config(options, prepared)
    common = {name: value for name, value in to_flat(base).items() if not _is_of_rows(name)}
    blocks = [_lines(common, to_flat(preset_config(options.preset)), "preset")]
    for title, config in (("parallel", options.sharing.config()), ("saving", options.saving.config())):
        blocks.append([f"[{title}]", *_lines(to_flat(config), to_flat(type(config)()), "default")])
    for row in make_rows(options, base):
        found = to_flat(row.config) if row.config else {}
        own = {name: value for name, value in found.items() if _is_of_rows(name) or value != common[name]}
        blocks += [[f"[{row.folder_name}]", *_lines(own, own, "")]] if own else []
    return "\n\n".join("\n".join(lines) for lines in blocks)


def _is_of_rows(name: str) -> bool:
    return name.startswith("masker.") or name == "training.seed"


def _lines(values: dict[str, Any], before: dict[str, Any], whose: str) -> list[str]:
    changed = {name: f"  # {whose}: {json.dumps(before[name])}" for name in values if values[name] != before[name]}
    return [f"{name} = {json.dumps(value)}{changed.get(name, '')}" for name, value in values.items()]

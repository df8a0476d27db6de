"""The rules of the house: which file may import which, how long it may be, what a command looks like.

All is read from the sources, of which nothing is imported.
"""

import ast
import re
import sys
from collections.abc import Iterator, Mapping

import pytest
from sources import COMMANDS, PACKAGES, ROOT, SOURCES, imports, imports_at_once, lines, package_of, shown, tree

PAGES = [path for path in sorted(ROOT.rglob("*.md")) if not path.relative_to(ROOT).parts[0].startswith(".")]

#: The rooms of each package, from the ground up, and the rooms of the same package that each may import. A room is a
#: folder or, at the top of a package, a file.
ROOMS = {
    "madsep_jax": {
        "errors": "",
        "config": "errors",
        "host": "errors",
        "audio": "errors host",
        "couplings": "errors config",
        "signal": "config",
        "ops": "errors config",
        "ops.dws": "ops config",
        "bss_eval": "ops",
        "models": "errors config signal ops ops.dws",
        "interop": "errors config host models",
        "train": "errors config host signal ops models",
        "parallel": "errors config host ops train",
        "checkpoint": "errors config host models train",
        "separation": "config host audio signal ops models train",
        "export": "errors config host models ops train",
        "separator": "errors config host audio signal models interop checkpoint parallel separation",
        "comparison": "bss_eval separation separator",
        "": "errors config signal models separation separator comparison",  # what `madsep_jax` itself hands on
    },
    "data_pipelines": {
        "": "",
        "tensorflow_cpu": "",
        "tfds_cpu": "tensorflow_cpu",
        "child_process": "",
        "songs": "",
        "embedded": "songs",
        "prepared": "songs tensorflow_cpu tfds_cpu child_process",
        "batches": "songs prepared tensorflow_cpu",
        "builders": "songs embedded prepared tfds_cpu",
    },
    "experiments": {
        "": "",
        "cli": "",
        "scoring": "cli",
        "jobs": "cli",
        "data": "cli",
        "training": "cli scoring",
        "pages": "cli scoring",
        "evaluation": "cli scoring data pages",
        "separator": "cli",
        "coupling_maps": "cli data pages",
        "rows": "cli scoring jobs data training pages",
        "benchmarks": "cli",
        "benchmarks.planned": "cli benchmarks",
        "benchmarks.peer": "cli benchmarks",
        "benchmarks.throughput": "cli benchmarks benchmarks.peer",
        "benchmarks.device_report": "cli benchmarks benchmarks.planned benchmarks.peer benchmarks.throughput",
        "benchmarks.scaling": "cli benchmarks benchmarks.planned",
        "benchmarks.dispatch": "cli benchmarks",
        "benchmarks.evaluation_speed": "cli scoring data benchmarks",
        "benchmarks.compile_time": "cli benchmarks benchmarks.planned",
        "benchmarks.training_memory": "cli benchmarks",
        "benchmarks.input_throughput": "cli benchmarks",
    },
}
#: The only file, or else the package, that imports it.
DOORS = {
    "tensorflow": "data_pipelines.tensorflow_cpu",
    "tensorflow_datasets": "data_pipelines.tfds_cpu",
    "orbax": "madsep_jax.checkpoint.steps",
    "cyclopts": "experiments",
    "jinja2": "experiments.pages.page",
    "matplotlib": "experiments",
    "plotly": "experiments.pages.page",
    "rich": "experiments",
    "tensorboardX": "experiments",
}
#: Who may ask JAX which devices this process has, and what for; all others are told what programs are for
#: (`madsep_jax.config.run.ComputeConfig.target`).
ASKS = {
    "madsep_jax.ops.choice": "what `auto` is",
    "madsep_jax.ops.precision": "where float64 is computed",
    "madsep_jax.host.environment": "what a result was made with",
    "madsep_jax.parallel.devices": "which devices share a batch, or have a name",
    "madsep_jax.checkpoint.steps": "where a checkpoint is read to",
    "experiments.rows.memory": "what the devices here can hold",
    "experiments.training.loop": "what the devices here can hold",
    "experiments.benchmarks.compile_time.first_step": "that JAX has started",
    "experiments.benchmarks.planned.plan": "which devices stand for others",
    "experiments.benchmarks.throughput": "what is timed here, beside what other program",
    "experiments.benchmarks.device_report": "what the report is about",
    "experiments.device_report": "whether there is anything to report on",
}

#: They start processes in which nothing else is loaded yet.
BARE = ("data_pipelines.child_process", "experiments.jobs.row_command")

MOST_FILES = 322
MOST_LINES = 250
LONGER = {"madsep_jax.ops.dws.fast_parts": 275}
MOST_LINES_OF_A_COMMAND = 130
VAGUE_NAMES = {"utils", "common", "helpers", "misc"}


def room_of(name: str) -> str:
    """The room of a file within its package; of a package's `__init__.py` the empty one."""
    if SOURCES[name].name == "__init__.py" or name.count(".") == 1:
        return name.partition(".")[2]
    return name.partition(".")[2].rpartition(".")[0]


def circle(edges: Mapping[str, set[str]]) -> list[str]:
    """A way through a graph that ends where it began; empty: there is none."""
    left = dict(edges)
    while ends := [node for node, following in left.items() if not following & set(left)]:
        for node in ends:
            del left[node]
    way = [min(left)] if left else []
    while len(set(way)) == len(way) > 0:
        way.append(min(left[way[-1]] & set(left)))
    return way[way.index(way[-1]) :] if way else []


def test_the_sources_were_found():
    assert {"madsep_jax", "madsep_jax.ops.dws.block", "data_pipelines.songs.tracks"} <= set(SOURCES)
    assert {"experiments.ablation", "experiments.madsep"} <= set(COMMANDS)
    assert ROOT / "README.md" in PAGES


def test_imports_run_from_experiments_to_data_pipelines_to_the_library():
    wrong = []
    for name in SOURCES:
        below = PACKAGES[: PACKAGES.index(package_of(name)) + 1]
        for other in sorted(imports(name)):
            if package_of(other) not in below and package_of(other) in {*PACKAGES, "tests", ""}:
                wrong.append(f"{shown(name)}: imports {other}; move what it needs into {' or '.join(below)}")
    assert not wrong, "\n".join(wrong)


def test_a_file_imports_its_own_room_and_those_below():
    wrong = []
    for name in [name for name in SOURCES if name not in COMMANDS]:
        package, room = package_of(name), room_of(name)
        if room not in ROOMS[package]:
            wrong.append(f"{shown(name)}: the room {room!r} is not in ROOMS; add it, with the rooms that it may import")
            continue
        for other in sorted(other for other in imports(name) & set(SOURCES) if package_of(other) == package):
            if room_of(other) not in {room, *ROOMS[package][room].split()}:
                allowed = ROOMS[package][room] or "no other room"
                wrong.append(f"{shown(name)}: imports {other}; {room!r} may import {allowed}: move what it needs there")
    assert not wrong, "\n".join(wrong)


def test_every_room_is_there():
    gone = [
        f"{package}.{room}"
        for package in PACKAGES
        for room in ROOMS[package]
        if f"{package}.{room}".strip(".") not in SOURCES
    ]
    assert not gone, f"ROOMS: {gone} are no folders or files of today; take them out"


@pytest.mark.parametrize("package", PACKAGES)
def test_no_rooms_import_each_other_in_a_circle(package):
    found = circle({room: set(below.split()) for room, below in ROOMS[package].items()})
    assert not found, f"ROOMS of {package}: the circle {' -> '.join(found)}; take one of its arrows out"


def test_no_files_import_each_other_in_a_circle():
    found = circle({name: imports(name) & set(SOURCES) for name in SOURCES})
    assert not found, f"the circle {' -> '.join(found)}; move what both ends need into a file below them"


def test_a_circle_is_seen():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == ["b", "c", "b"]
    assert circle({"a": {"a"}}) == ["a", "a"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def faults_of_a_command(name: str) -> Iterator[str]:
    body = tree(name).body
    functions = sorted(node.name for node in body if isinstance(node, ast.FunctionDef))
    classes = [node.name for node in body if isinstance(node, ast.ClassDef)]
    if not any(ast.unparse(node).startswith("app = App(") for node in body) or "main" not in functions:
        yield "has no `app` or no `main`; only commands lie here, move it into a room"
    if not ast.unparse(body[-1]).startswith("if __name__ == '__main__':"):
        yield "does not end in `__main__`; add it, as the other commands have it"
    if len(functions) > 2:
        yield f"has {', '.join(functions)}; leave `main` and the one that tells the story, move the others into a room"
    if classes:
        yield f"has {', '.join(classes)}; move it into the `options.py` of its room"
    if lines(name) > MOST_LINES_OF_A_COMMAND:
        yield f"{lines(name)} lines, expected at most {MOST_LINES_OF_A_COMMAND}; move the work into its room"
    for user in [user for user in SOURCES if name in imports(user)]:
        yield f"imported by {shown(user)}; move what that needs into a room"


def test_a_file_at_the_top_of_experiments_is_a_command():
    wrong = [f"{shown(name)}: {fault}" for name in COMMANDS for fault in faults_of_a_command(name)]
    assert not wrong, "\n".join(wrong)


def test_only_commands_and_rooms_lie_in_experiments():
    files = [path.name for path in (ROOT / "experiments").iterdir() if path.is_file()]
    others = [name for name in files if not name.endswith((".py", ".md"))]
    assert not others, f"experiments: found {others}; move them into a room"


def test_a_file_is_short_and_named_after_its_idea():
    wrong = []
    for name in SOURCES:
        if lines(name) > (most := LONGER.get(name, MOST_LINES)):
            wrong.append(f"{shown(name)}: {lines(name)} lines, expected at most {most}; make two files of it")
        if vague := VAGUE_NAMES & set(name.split(".")):
            wrong.append(f"{shown(name)}: has the name {', '.join(vague)}; name it after what it is about")
    assert not wrong, "\n".join(wrong)


def test_there_are_not_many_files():
    assert len(SOURCES) <= MOST_FILES, f"{len(SOURCES)} files, expected at most {MOST_FILES}; merge two about one thing"


def test_a_heavy_package_has_one_door():
    wrong = []
    for name in SOURCES:
        for heavy in sorted({package_of(other) for other in imports(name)} & set(DOORS)):
            if DOORS[heavy] not in (name, package_of(name)):
                wrong.append(f"{shown(name)}: imports {heavy}; leave that to {DOORS[heavy]}")
    assert not wrong, "\n".join(wrong)


def asks(nodes: ast.Module) -> list[str]:
    """The calls by which a file asks JAX for this process's devices."""
    questions = ("jax.default_backend", "jax.devices", "jax.local_devices")
    calls = [ast.unparse(node.func) for node in ast.walk(nodes) if isinstance(node, ast.Call)]
    return [call for call in calls if call in questions]


def test_programs_are_for_the_device_that_they_are_told():
    wrong = []
    for name in SOURCES:
        allowed = any(name == who or name.startswith(f"{who}.") for who in ASKS)
        for call in [] if allowed else asks(tree(name)):
            wrong.append(f"{shown(name)}: asks {call}(); take the target of the config, or an argument")
    assert not wrong, "\n".join(wrong)


def test_nobody_may_ask_who_does_not():
    files = {who: [name for name in SOURCES if name == who or name.startswith(f"{who}.")] for who in ASKS}
    idle = [who for who, names in files.items() if not any(asks(tree(name)) for name in names)]
    assert not idle, f"ASKS: {idle} ask for no devices today; take them out"


@pytest.mark.parametrize("bare", BARE)
def test_a_process_starts_with_the_standard_library_alone(bare):
    above = [name for name in SOURCES if bare.startswith(f"{name}.")]
    wrong = []
    for name in [*above, bare]:
        for other in sorted({package_of(other) for other in imports_at_once(name)} - set(sys.stdlib_module_names)):
            wrong.append(f"{shown(name)}: imports {other}, which each new process would load; import it elsewhere")
    assert not wrong, "\n".join(wrong)


def defines(body: list[ast.stmt], path: list[str]) -> bool:
    """Whether statements define the first name of a path and, within it, the rest."""
    for node in body:
        if isinstance(node, ast.If | ast.Try) and defines(node.body, path):
            return True
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == path[0]:
            return not path[1:] or defines(node.body, path[1:])
        if isinstance(node, ast.ImportFrom):
            for alias in [alias for alias in node.names if (alias.asname or alias.name) == path[0]]:
                return exists([*str(node.module).split("."), alias.name, *path[1:]])
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if path[0] in [target.id for target in targets if isinstance(target, ast.Name)]:
            return True
    return False


def exists(path: list[str]) -> bool:
    """Whether the sources have such a module, or such a name in one; what is of other projects is taken to exist."""
    ends = [end for end in range(1, len(path) + 1) if ".".join(path[:end]) in SOURCES]
    if not ends or len(path) == ends[-1]:
        return True
    return defines(tree(".".join(path[: ends[-1]])).body, path[ends[-1] :])


def test_names_in_texts_exist():
    """Dotted names in code, docstrings, strings and pages, but for stand-ins in capitals (`experiments.NAME`)."""
    dotted = re.compile(rf"(?<![\w./-])(?:{'|'.join(PACKAGES)})(?:\.[A-Za-z_]\w*)*(?:\.\w*[a-z]\w*)")
    wrong = []
    for path in [*SOURCES.values(), *PAGES]:
        for name in sorted(set(dotted.findall(path.read_text(encoding="utf-8")))):
            if not exists(name.split(".")):
                wrong.append(f"{path.relative_to(ROOT)}: names {name}, which is not there; write its name of today")
    assert not wrong, "\n".join(wrong)


def test_a_name_is_found_where_it_is():
    for name in ("madsep_jax.separate", "madsep_jax.config.run.RunConfig.masker", "data_pipelines.songs", "jax.numpy"):
        assert exists(name.split(".")), name
    for name in ("madsep_jax.seperate", "madsep_jax.config.run.RunConfig.maskers", "data_pipelines.song"):
        assert not exists(name.split(".")), name

"""A train step made ready and run once, in a process that has imported nothing yet: that is timed as well."""

import time
from pathlib import Path
from typing import Any


def first_step(
    system: str, config: dict[str, Any], cache: str, exported: str | None, asked_at: float
) -> dict[str, float]:
    """Get a train step ready and run it once.

    Args:
        system: its name.
        config: of the run, as JSON values.
        cache: folder of the persistent compilation cache.
        exported: file of the exported train step, to be used in place of tracing it.
        asked_at: when the process was asked for, seconds since the epoch.

    Returns:
        Seconds of each stage, in this order: `python_s`, until Python runs this; `import_s`; `init_s`, of random
        weights, the optimiser's state and a batch, which are programs as well that the cache keeps; `read_s`, of the
        exported program; `trace_s`, `lower_s`; `compile_s`, or to read what was compiled; `run_s`, of the first run.
        `ready_s` is from the function to the executable, `total_s` all of it. `cache_hits` are programs read from the
        cache, `cache_misses` programs compiled.
    """
    start = time.perf_counter()
    python_s = time.time() - asked_at
    import jax
    from jax import export

    from experiments.benchmarks.case import Case
    from experiments.benchmarks.compile_time.stages import compile_in_stages
    from madsep_jax.config.io import from_dict
    from madsep_jax.config.run import RunConfig
    from madsep_jax.export import train_step_of
    from madsep_jax.host.compiler import use_compilation_cache
    from madsep_jax.models.contract import load_system

    counts = {"/jax/compilation_cache/cache_hits": 0, "/jax/compilation_cache/cache_misses": 0}

    def count(event: str, **_: Any) -> None:
        if event in counts:
            counts[event] += 1

    jax.monitoring.register_event_listener(count)
    use_compilation_cache(Path(cache))
    jax.devices()  # starts the backend
    load_system(system)
    imported = time.perf_counter()

    case = Case(system=system, mode="train", config=from_dict(RunConfig, config))
    arguments = jax.block_until_ready(case.arguments())
    initialised = time.perf_counter()

    function = case.jitted()
    if exported is not None:
        program = export.deserialize(bytearray(Path(exported).read_bytes()))
        function = jax.jit(train_step_of(program), donate_argnums=0, compiler_options=case.compiler_options)
    read_s = time.perf_counter() - initialised if exported is not None else 0.0

    _, compiled, stages = compile_in_stages(function, arguments)
    ready = time.perf_counter()
    jax.block_until_ready(compiled(*arguments))
    run_s = time.perf_counter() - ready
    import_s, init_s, ready_s = imported - start, initialised - imported, read_s + stages["total_s"]
    return {
        "python_s": python_s,
        "import_s": import_s,
        "init_s": init_s,
        "read_s": read_s,
        **stages,
        "run_s": run_s,
        "ready_s": ready_s,
        "total_s": python_s + import_s + init_s + ready_s + run_s,
        "cache_hits": counts["/jax/compilation_cache/cache_hits"],
        "cache_misses": counts["/jax/compilation_cache/cache_misses"],
    }

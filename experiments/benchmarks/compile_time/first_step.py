"""A process of its own that gets a program ready and runs it once, each stage timed.

Run as a module, it takes a `Request` and prints `Timings`, both in JSON. What it imports, it imports while the clock
runs.
"""

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Request:
    """Which train step to get ready."""

    system: str
    config: dict[str, Any]
    cache: str
    """Folder of the persistent compilation cache."""
    exported: str | None
    """File of the exported train step, to be used in place of tracing it."""
    asked_at: float
    """When the process was asked for, seconds since the epoch."""


@dataclass(frozen=True, kw_only=True)
class Timings:
    """Seconds of each stage, in this order."""

    python_s: float
    """Until Python runs this module."""
    import_s: float
    init_s: float
    """Random weights, the optimiser's state and a batch: programs as well, which the cache keeps."""
    read_s: float
    """Reading the exported program; 0 where it is traced."""
    trace_s: float
    lower_s: float
    compile_s: float
    """Compiling, or reading what was compiled."""
    run_s: float
    """The first run."""
    cache_hits: int
    """Programs read from the cache, of all that were needed."""
    cache_misses: int
    """Programs compiled."""

    @property
    def ready_s(self) -> float:
        """From the function to the executable."""
        return self.read_s + self.trace_s + self.lower_s + self.compile_s

    @property
    def total_s(self) -> float:
        """From asking for the process to the end of the first run."""
        return self.python_s + self.import_s + self.init_s + self.ready_s + self.run_s


def first_step(request: Request) -> Timings:
    """Get the program ready and run it once."""
    start = time.perf_counter()
    python_s = time.time() - request.asked_at
    import jax
    from jax import export

    from experiments.benchmarks.case import Case
    from experiments.benchmarks.compile_time.stages import compile_in_stages
    from madsep_jax.config.io import from_dict
    from madsep_jax.config.run import RunConfig
    from madsep_jax.export import train_step_of
    from madsep_jax.host.compiler import compiler_options, use_compilation_cache

    counts = {"/jax/compilation_cache/cache_hits": 0, "/jax/compilation_cache/cache_misses": 0}

    def count(event: str, **_: Any) -> None:
        if event in counts:
            counts[event] += 1

    jax.monitoring.register_event_listener(count)
    use_compilation_cache(Path(request.cache))
    jax.devices()  # starts the backend
    imported = time.perf_counter()

    case = Case(system=request.system, mode="train", config=from_dict(RunConfig, request.config))
    arguments = jax.block_until_ready(case.arguments())
    initialised = time.perf_counter()

    function = case.jitted()
    if request.exported is not None:
        exported = export.deserialize(bytearray(Path(request.exported).read_bytes()))
        function = jax.jit(train_step_of(exported), donate_argnums=0, compiler_options=compiler_options())
    read = time.perf_counter()

    _, compiled, stages = compile_in_stages(function, arguments)
    ready = time.perf_counter()
    jax.block_until_ready(compiled(*arguments))
    return Timings(
        python_s=python_s,
        import_s=imported - start,
        init_s=initialised - imported,
        read_s=read - initialised if request.exported is not None else 0.0,
        **asdict(stages),
        run_s=time.perf_counter() - ready,
        cache_hits=counts["/jax/compilation_cache/cache_hits"],
        cache_misses=counts["/jax/compilation_cache/cache_misses"],
    )


if __name__ == "__main__":
    print(json.dumps(asdict(first_step(Request(**json.loads(sys.argv[1]))))))

"""Programs compiled side by side, in no more time than there is."""

import dataclasses
import threading
import time
from collections.abc import Sequence

from experiments.benchmarks.case import Case, Form
from experiments.benchmarks.throughput import ours
from experiments.benchmarks.throughput.ours import timed_in
from madsep_jax.host.environment import cpu_cores

Programs = dict[tuple[Case, Form], ours.Program | Exception]


class Compiler:
    """Compiles, and remembers how long that took. A compilation cannot be interrupted; one may be given up."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[str, str, Form], float] = {}
        self._threads: list[threading.Thread] = []

    def expected_s(self, case: Case, form: Form) -> float:
        """Return the seconds that a case may take: those of the same system, else of any; 0 where nothing is known."""
        own = self._seconds.get((case.system, case.mode, form))
        return own if own is not None else max(self._seconds.values(), default=0.0)

    @property
    def has_given_up(self) -> bool:
        """Whether something is still being compiled that nobody waits for."""
        return any(thread.is_alive() for thread in self._threads)

    def compile(self, pairs: Sequence[tuple[Case, Form]], patience_s: float) -> Programs:
        """Compile as many at a time as there are cores; what does not compile, or not in time, gives its error."""
        found: Programs = {}
        places = threading.Semaphore(cpu_cores())
        end = time.monotonic() + patience_s

        def compile_one(case: Case, form: Form) -> None:
            with places:
                start = time.monotonic()
                if start < end:
                    found[case, form] = _compile(case, form)
                    self._seconds[case.system, case.mode, form] = time.monotonic() - start

        threads = {pair: threading.Thread(target=compile_one, args=pair, daemon=True) for pair in pairs}
        for thread in threads.values():
            thread.start()
        for thread in threads.values():
            thread.join(max(end - time.monotonic(), 0.0))
        self._threads += threads.values()
        late = TimeoutError(f"not compiled within {max(patience_s, 0):.0f} s")
        for (case, form), thread in threads.items():
            if thread.is_alive():
                self._seconds[case.system, case.mode, form] = max(patience_s, self.expected_s(case, form))
        return {pair: found.get(pair, late) for pair in pairs}


def _compile(case: Case, form: Form) -> ours.Program | Exception:
    try:
        with timed_in(case.precision):
            _ = case.flops  # kept by the case
            program = ours.compile_program(case, form)
            return dataclasses.replace(program, compile_s=None)  # not the time of one alone
    except Exception as error:  # whatever a compiler has against one program, the others go on
        return error

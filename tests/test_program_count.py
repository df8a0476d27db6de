"""Counting a compiled program by its text: each rule on a few lines with a known answer, and small real programs."""

import jax
import jax.numpy as jnp
import pytest

pytest.importorskip("cyclopts")  # as of all of `experiments`

from experiments.benchmarks.planned.count import count_program
from experiments.benchmarks.planned.hlo import arrays_in

KIB = 1024


def entry(*lines, before=""):
    """A program's text of the lines of its entry."""
    body = "\n".join(f"  {line}" for line in lines)
    return f"HloModule m\n\n{before}\nENTRY %main (a: f32[256]) -> f32[256] {{\n{body}\n}}\n"


def computation(name, *lines):
    body = "\n".join(f"  {line}" for line in lines)
    return f"%{name} (p: f32[256]) -> f32[256] {{\n{body}\n}}\n\n"


@pytest.mark.parametrize(
    ("shape", "taken"),
    [
        ("f32[3,5]{1,0}", 3 * 5 * 4),
        ("f32[3,5]", 3 * 5 * 4),
        ("bf16[7]{0}", 14),
        ("pred[7]{0}", 7),
        ("s4[7]{0}", 4),
        ("f32[]", 4),
        ("token[]", 0),
        ("f32[4,1]{1,0:T(8,128)}", 8 * 128 * 4),
        ("f32[4,1]{0,1:T(8,128)}", 8 * 128 * 4),
        # One channel in the lanes takes those of 128; 200 frequencies there, two times 128.
        ("f32[4,60,200,1]{3,2,1,0:T(8,128)}", 4 * 60 * 200 * 128 * 4),
        ("f32[4,60,200,1]{2,1,0,3:T(8,128)}", 4 * 64 * 256 * 4),
        ("bf16[16,100]{1,0:T(8,128)(2,1)}", 16 * 128 * 2),
        ("f32[100]{0:T(1024)}", 1024 * 4),
        ("f32[]{:T(128)}", 128 * 4),
    ],
)
def test_bytes_of_an_array(shape, taken):
    (array,) = arrays_in(shape)
    assert (array.bytes, array.moved) == (taken, taken)


def test_what_lies_on_the_chip_moves_nothing():
    inside, outside = arrays_in("(f32[8,128]{1,0:T(8,128)S(1)}, /*index=1*/f32[8,128]{1,0:T(8,128)})")
    assert (inside.moved, outside.moved) == (0, 4 * KIB)


def test_names_of_what_is_there_cost_nothing():
    count = count_program(
        entry(
            "%a = f32[256]{0} parameter(0)",
            "%b = f32[16,16]{1,0} bitcast(%a)",
            "%t = (f32[256]{0}, f32[16,16]{1,0}) tuple(%a, %b)",
            "%one = s32[] constant(1)",
            "%two = s32[] add(%one, %one)",  # of single numbers, outside of any kernel
            "ROOT %g = f32[256]{0} get-tuple-element(%t), index=0",
        )
    )
    assert (count.launches, count.bytes, count.flops) == (0, 0, 0)


def test_a_fusion_is_one_kernel_that_reads_its_operands_and_writes_its_result():
    inner = computation(
        "inner",
        "%p = f32[256]{0} parameter(0)",
        "%q = f32[256]{0} parameter(1)",
        "%s = f32[256]{0} add(%p, %q)",
        "ROOT %e = f32[256]{0} exponential(%s)",
    )
    call = 'ROOT %f = f32[256]{0} fusion(%a, %b), kind=kLoop, calls=%inner, metadata={op_name="jit(f)/exp"}'
    count = count_program(entry("%a = f32[256]{0} parameter(0)", "%b = f32[256]{0} parameter(1)", call, before=inner))
    assert (count.launches, count.bytes) == (1, 3 * KIB)
    assert (count.product_flops, count.other_flops) == (0, 2 * 256)
    (largest,) = count.largest
    assert (largest.name, largest.source, largest.runs, largest.bytes) == ("f", "jit(f)/exp", 1, 3 * KIB)


STACK = "f32[10,256]{1,0}"


@pytest.mark.parametrize(
    ("lines", "moved"),
    [
        # A slice is read as a slice, whatever names it gets before and after.
        (
            (f"%p = {STACK} parameter(0)", "ROOT %d = f32[1,256]{1,0} slice(%p), slice={[2:3], [0:256]}"),
            2 * KIB,
        ),
        (
            (
                f"%p = {STACK} parameter(0)",
                "%r = f32[10,16,16]{2,1,0} bitcast(%p)",
                "ROOT %d = f32[1,16,16]{2,1,0} slice(%r), slice={[2:3], [0:16], [0:16]}",
            ),
            2 * KIB,
        ),
        # Two slices are two, but no more than the whole, and the whole beside a slice is the whole.
        (
            (
                f"%p = {STACK} parameter(0)",
                "%c = f32[1,256]{1,0} slice(%p), slice={[2:3], [0:256]}",
                "%d = f32[1,256]{1,0} slice(%p), slice={[3:4], [0:256]}",
                "ROOT %s = f32[1,256]{1,0} add(%c, %d)",
            ),
            3 * KIB,
        ),
        (
            (
                f"%p = {STACK} parameter(0)",
                "%c = f32[9,256]{1,0} slice(%p), slice={[1:10], [0:256]}",
                "%d = f32[9,256]{1,0} slice(%p), slice={[0:9], [0:256]}",
                "ROOT %s = f32[9,256]{1,0} add(%c, %d)",
            ),
            19 * KIB,
        ),
        (
            (
                f"%p = {STACK} parameter(0)",
                "%c = f32[1,256]{1,0} slice(%p), slice={[2:3], [0:256]}",
                "%n = f32[10,256]{1,0} negate(%p)",
                f"ROOT %t = (f32[1,256]{{1,0}}, {STACK}) tuple(%c, %n)",
            ),
            21 * KIB,
        ),
        # An update in place writes the update; into a new array, all of it.
        (
            (
                f"%p = {STACK} parameter(0)",
                "%u = f32[1,256]{1,0} constant({...})",
                "%i = s32[] constant(0)",
                f"ROOT %d = {STACK} dynamic-update-slice(%p, %u, %i, %i)",
            ),
            1 * KIB,
        ),
        (
            (
                f"%p = {STACK} parameter(0)",
                "%c = f32[1,256]{1,0} slice(%p), slice={[2:3], [0:256]}",
                "%i = s32[] constant(0)",
                "%z = f32[] constant(0)",
                f"%b = {STACK} broadcast(%z), dimensions={{}}",
                f"ROOT %d = {STACK} dynamic-update-slice(%b, %c, %i, %i)",
            ),
            11 * KIB,
        ),
        # One that reads the slice that it replaces.
        (
            (
                f"%p = {STACK} parameter(0)",
                "%c = f32[1,256]{1,0} slice(%p), slice={[2:3], [0:256]}",
                "%n = f32[1,256]{1,0} negate(%c)",
                "%i = s32[] constant(0)",
                f"ROOT %d = {STACK} dynamic-update-slice(%p, %n, %i, %i)",
            ),
            2 * KIB,
        ),
    ],
)
def test_slices_within_a_fusion(lines, moved):
    result = lines[-1].split(" = ")[1].rsplit(") ", 1)[0] + ")" if " = (" in lines[-1] else lines[-1].split()[3]
    call = f"ROOT %f = {result} fusion(%a), kind=kLoop, calls=%inner"
    before = computation("inner", *lines)
    assert count_program(entry(f"%a = {STACK} parameter(0)", call, before=before)).bytes == moved


def test_a_fusion_within_a_fusion_reads_what_that_reads():
    deep = computation(
        "deep", f"%p = {STACK} parameter(0)", "ROOT %d = f32[1,256]{1,0} slice(%p), slice={[2:3], [0:256]}"
    )
    inner = computation(
        "inner",
        f"%q = {STACK} parameter(0)",
        "%g = f32[1,256]{1,0} fusion(%q), kind=kLoop, calls=%deep",
        "ROOT %n = f32[1,256]{1,0} negate(%g)",
    )
    call = "ROOT %f = f32[1,256]{1,0} fusion(%a), kind=kLoop, calls=%inner"
    count = count_program(entry(f"%a = {STACK} parameter(0)", call, before=deep + inner))
    assert (count.launches, count.bytes) == (1, 2 * KIB)


def loop(trips, condition=("%c = pred[] constant(true)",)):
    """A loop around a sine of 256 numbers, in a loop of 3 turns."""
    sine = ("%p = f32[256]{0} parameter(0)", "ROOT %s = f32[256]{0} sine(%p)")
    turns = f', backend_config={{"known_trip_count":{{"n":"{trips}"}}}}' if trips else ""
    around = (
        "%p = f32[256]{0} parameter(0)",
        f"ROOT %w = f32[256]{{0}} while(%p), condition=%cond, body=%sine{turns}",
    )
    last = condition[-1] if condition[-1].startswith("ROOT") else f"ROOT {condition[-1]}"
    before = computation("sine", *sine) + computation("cond", *condition[:-1], last) + computation("around", *around)
    call = (
        'ROOT %w = f32[256]{0} while(%a), condition=%cond, body=%around, backend_config={"known_trip_count":{"n":"3"}}'
    )
    return entry("%a = f32[256]{0} parameter(0)", call, before=before)


def test_loops_count_with_all_their_turns():
    count = count_program(loop(7))
    assert (count.launches, count.bytes, count.other_flops) == (21, 21 * 2 * KIB, 21 * 256)
    assert (count.largest[0].runs, count.at_most, count.counted_once) == (21, [], [])


LESS = ("%i = s32[] parameter(0)", "%n = s32[] constant(5)", "%l = pred[] compare(%i, %n), direction=LT")


def test_the_turns_of_a_loop_from_its_condition():
    count = count_program(loop(None, LESS))
    assert (count.launches, count.at_most, count.counted_once) == (15, [], [])


def test_a_loop_that_may_end_sooner_counts_with_its_maximum_and_says_so():
    also = ("%e = f32[] parameter(1)", "%f = pred[] compare(%e, %e), direction=GT", "%b = pred[] and(%l, %f)")
    count = count_program(loop(None, (*LESS, *also)))
    assert (count.launches, count.at_most, count.counted_once) == (15, ["w"], [])


def test_a_loop_without_a_known_end_counts_once_and_says_so():
    count = count_program(loop(None))
    assert (count.launches, count.counted_once) == (3, ["w"])


def test_a_condition_counts_with_the_branch_that_moves_more():
    small = computation("small", "%p = f32[256]{0} parameter(0)", "ROOT %s = f32[16]{0} slice(%p), slice={[0:16]}")
    large = computation("large", "%p = f32[256]{0} parameter(0)", "ROOT %s = f32[256]{0} sine(%p)")
    call = "ROOT %c = f32[256]{0} conditional(%i, %a, %a), branch_computations={%small, %large}"
    lines = ("%i = s32[] parameter(1)", "%a = f32[256]{0} parameter(0)", call)
    count = count_program(entry(*lines, before=small + large))
    assert (count.launches, count.bytes) == (1, 2 * KIB)


def test_the_longest_chain_of_kernels_that_wait_for_one_another():
    """By hand: of four kernels two are side by side, and a loop of three turns of two has six one after the other."""
    body = computation(
        "body", "%p = f32[256]{0} parameter(0)", "%s = f32[256]{0} sine(%p)", "ROOT %c = f32[256]{0} cosine(%s)"
    )
    turns = 'backend_config={"known_trip_count":{"n":"3"}}'
    count = count_program(
        entry(
            "%a = f32[256]{0} parameter(0)",
            "%b = f32[256]{0} exponential(%a)",
            "%c = f32[256]{0} log(%a)",
            f"%w = f32[256]{{0}} while(%c), condition=%stop, body=%body, {turns}",
            "%t = (f32[256]{0}, f32[256]{0}) tuple(%b, %w)",
            "%g = f32[256]{0} get-tuple-element(%t), index=1",
            "%s = f32[256]{0} add(%b, %g)",
            "ROOT %n = f32[256]{0} negate(%s)",
            before=body + computation("stop", "ROOT %t = pred[] constant(true)"),
        )
    )
    assert (count.launches, count.chain) == (4 + 6, 1 + 6 + 2)


def test_the_chain_of_a_loop_in_a_loop_and_of_a_branch():
    assert count_program(loop(7)).chain == 21
    assert count_program(loop(None, LESS)).chain == 15


def test_copies_beside_the_kernels_are_no_launches_and_count_once():
    count = count_program(
        entry(
            "%a = f32[8,128]{1,0:T(8,128)} parameter(0)",
            "%s = (f32[8,128]{1,0:T(8,128)S(1)}, f32[8,128]{1,0:T(8,128)}, u32[]{:S(2)}) copy-start(%a)",
            "%d = f32[8,128]{1,0:T(8,128)S(1)} copy-done(%s)",
            "%t = ((f32[8,128]{1,0:T(8,128)}), f32[1,128]{1,0:T(1,128)S(1)}, s32[]{:S(2)}) slice-start(%a), "
            "slice={[0:1], [0:128]}",
            "%e = f32[1,128]{1,0:T(1,128)S(1)} slice-done(%t)",
            "ROOT %n = f32[8,128]{1,0:T(8,128)} negate(%d)",
        )
    )
    # The copy reads 4 KiB and the slice half of one; the kernel reads what is on the chip and writes 4 KiB.
    assert (count.launches, count.bytes) == (1, 8.5 * KIB)


def test_collectives_once_with_their_bytes_and_whether_they_are_in_a_loop():
    reduce = "all-reduce-start(%p), replica_groups={{0,1}}, to_apply=%sum"
    body = computation(
        "body",
        "%p = f32[256]{0} parameter(0)",
        f"%s = f32[256]{{0}} {reduce}",
        "ROOT %d = f32[256]{0} all-reduce-done(%s)",
    )
    lines = (
        "%a = f32[256]{0} parameter(0)",
        "%g = f32[512]{0} all-gather(%a), dimensions={0}",
        'ROOT %w = f32[256]{0} while(%a), condition=%c, body=%body, backend_config={"known_trip_count":{"n":"3"}}',
    )
    count = count_program(entry(*lines, before=body + computation("c", "ROOT %t = pred[] constant(true)")))
    found = [(one.kind, one.bytes, one.runs, one.in_loop) for one in count.collectives]
    assert found == [("all-gather", KIB, 1, False), ("all-reduce", KIB, 3, True)]
    assert count.launches == 1 + 3


def test_a_library_moves_no_working_memory_and_multiplies_at_each_place():
    labels = "window={size=5x5 pad=2_2x2_2}, dim_labels=b01f_o01i->b01f, feature_group_count=8"
    forward = f'custom-call(%x, %w), {labels}, custom_call_target="__cudnn$convForward"'
    backward = f'custom-call(%x, %y), {labels}, custom_call_target="__cudnn$convBackwardFilter"'
    count = count_program(
        entry(
            "%x = f32[2,6,4,8]{3,2,1,0} parameter(0)",
            "%w = f32[8,5,5,1]{3,2,1,0} parameter(1)",
            f"%c = (f32[2,6,4,8]{{3,2,1,0}}, u8[1000]{{0}}) {forward}",
            "%y = f32[2,6,4,8]{3,2,1,0} get-tuple-element(%c), index=0",
            f"ROOT %b = (f32[8,5,5,1]{{3,2,1,0}}, u8[1000]{{0}}) {backward}",
        )
    )
    x, w = 2 * 6 * 4 * 8 * 4, 8 * 25 * 4
    assert (count.launches, count.bytes) == (2, (2 * x + w) + (2 * x + w))
    assert (count.product_flops, count.uncounted) == (2 * 2 * 25 * (x // 4), [])


def test_a_kernel_counts_as_it_says_and_is_named_where_it_says_nothing():
    stated = '"cost_estimate":{"flops":"123","transcendentals":"0","bytes_accessed":"4567"}'
    count = count_program(
        entry(
            "%a = f32[256]{0} parameter(0)",
            f'%k = f32[256]{{0}} custom-call(%a), custom_call_target="tpu_custom_call", backend_config={{{stated}}}',
            'ROOT %t = f32[256]{0} custom-call(%k), custom_call_target="__gpu$xla.gpu.triton", '
            'metadata={op_name="jit(f)/mine"}',
        )
    )
    assert (count.launches, count.bytes, count.flops) == (2, 4567 + 2 * KIB, 123)
    assert count.uncounted == ["jit(f)/mine"]


def test_what_is_no_program_is_refused():
    with pytest.raises(ValueError, match="found no ENTRY"):
        count_program("HloModule m\n")


# Real programs, compiled for this processor


def counted(function, *shapes):
    return count_program(
        jax.jit(function).lower(*(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes)).compile().as_text()
    )


def test_a_matrix_product():
    count = counted(lambda x, y: x @ y, (64, 128), (128, 32))
    assert count.product_flops == 2 * 64 * 128 * 32
    least = 4 * (64 * 128 + 128 * 32 + 64 * 32)
    assert least <= count.bytes <= 3 * least  # an operand may be turned round


@pytest.mark.parametrize(("stride", "padding"), [(1, "SAME"), (1, "VALID"), (2, "SAME")])
def test_a_convolution_counts_as_its_definition_does(stride, padding):
    """Each pair of an output and a tap within the input, counted by convolving ones."""

    def convolve(x, w):
        return jax.lax.conv_general_dilated(x, w, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))

    pairs = convolve(jnp.ones((1, 9, 12, 1)), jnp.ones((5, 3, 1, 1))).sum()
    count = counted(convolve, (2, 9, 12, 4), (5, 3, 4, 6))
    assert count.product_flops == 2 * 2 * 4 * 6 * int(pairs)


def test_a_transposed_convolution_meets_each_element_once_a_tap():
    """Between the elements are zeros, on which nothing is multiplied: 3 elements, 2 taps."""
    count = count_program(
        entry(
            "%a = f32[1,3,1]{2,1,0} parameter(0)",
            "%w = f32[2,1,1]{2,1,0} parameter(1)",
            "ROOT %c = f32[1,6,1]{2,1,0} convolution(%a, %w), window={size=2 pad=1_1 lhs_dilate=2}, "
            "dim_labels=b0f_0io->b0f",
        )
    )
    assert count.product_flops == 2 * 3 * 2


@pytest.mark.parametrize("steps", [4, 40])
def test_a_scan_moves_what_its_steps_move(steps):
    """Each step reads one slice of 256 and the state and writes both; the compiler adds a counter and little more."""

    def step(carry, x):
        carry = jnp.tanh(carry * x)
        return carry, carry

    count = counted(lambda carry, xs: jax.lax.scan(step, carry, xs), (256,), (steps, 256))
    of_steps = steps * 4 * KIB
    assert 0.5 * of_steps <= count.bytes <= 2.5 * of_steps
    assert count.other_flops == pytest.approx(steps * 2 * 256, rel=0.1)
    assert count.counted_once == []


def test_a_loop_with_an_early_end_is_at_most_its_limit():
    def loop(x):
        return jax.lax.while_loop(lambda s: (s[0] < 9) & (s[1].sum() > 0), lambda s: (s[0] + 1, s[1] @ s[1]), (0, x))

    count = counted(loop, (32, 32))
    assert count.product_flops == 9 * 2 * 32**3
    assert len(count.at_most) == 1

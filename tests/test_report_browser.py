"""The page of results in a real browser, Debian's chromium, with the network off.

Oracles: the position is what is heard: each sound's frequency rises with time, and tells which sound it is, and where
(`result_folders`); within 50 ms of a clock that no switch stops. What assistive technology reads is what the browser
finds by role and accessible name.
"""

import shutil

import pytest

pytest.importorskip("soundfile")
for package in ("jinja2", "plotly"):
    pytest.importorskip(package)
playwright = pytest.importorskip("playwright.sync_api", reason="the browser's driver, playwright, is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if not CHROMIUM:
    pytest.skip("found no chromium, expected it on the PATH", allow_module_level=True)

from playwright.sync_api import expect, sync_playwright
from result_folders import SECONDS, heard_as, make_ablation

from experiments.pages.page import write_page

pytestmark = pytest.mark.thorough

SENTENCE = "dws-3-16 − mad: +1.00 dB SDR [+0.40, +1.60] over 5 songs × 2 seeds."
TOLERANCE_S = 0.05

#: Lets what goes to the loudspeaker be looked at, whatever the page says of it.
TAP = """
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (to, ...rest) {
  if (to instanceof AudioDestinationNode) {
    window.tap ??= new AnalyserNode(this.context, { fftSize: 4096, smoothingTimeConstant: 0 });
    connect.call(this, window.tap);
  }
  return connect.call(this, to, ...rest);
};
"""

#: Every 20 ms: what is heard (its frequency, in Hz, and level), the context's time, and the position that is shown.
LISTEN = """
async (milliseconds) => {
  const { context, fftSize, frequencyBinCount } = window.tap;
  const level = new Float32Array(frequencyBinCount), wave = new Float32Array(fftSize), looks = [];
  const end = performance.now() + milliseconds;
  while (performance.now() < end) {
    window.tap.getFloatFrequencyData(level);
    window.tap.getFloatTimeDomainData(wave);
    const peak = level.indexOf(Math.max(...level));
    const [a, b, c] = [level[peak - 1], level[peak], level[peak + 1]];
    const bin = peak + (a - c) / (2 * (a - 2 * b + c));
    looks.push({
      hz: (bin * context.sampleRate) / fftSize, latest: Math.hypot(...wave.slice(-1024)) / 32, s: context.currentTime,
      lag: fftSize / 2 / context.sampleRate, shown: Number(document.querySelector(".player").dataset.position),
    });
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return looks;
}
"""


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as driver:
        options = {"executable_path": CHROMIUM, "args": ["--no-sandbox"]}  # which root, as in a container, needs
        browser = driver.chromium.launch(**options)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    return write_page([make_ablation(folder, answer=[SENTENCE])])


@pytest.fixture
def open_page(browser, request):
    """Open a file with the network off; at the end nothing has been asked for, and nothing was complained of."""
    complaints, contexts = [], []

    def open_page(file, width=1280, **settings):
        context = browser.new_context(offline=True, viewport={"width": width, "height": 900}, **settings)
        contexts.append(context)
        context.add_init_script(TAP)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda asked: asked.url == file.as_uri() or complaints.append(asked.url[:100]))
        page.goto(file.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    asked = [one for one in complaints if not one.startswith(("data:", "blob:"))]
    assert not asked


def test_the_answer_is_read_by_its_name(file, open_page):
    page = open_page(file)
    expect(page.get_by_role("region", name="Answer")).to_contain_text(SENTENCE)
    assert page.get_by_role("heading", level=1).count() == 1


def test_the_table_is_sorted_by_its_headings(file, open_page):
    page = open_page(file)
    table = page.get_by_role("table", name="Systems")
    heading = table.get_by_role("columnheader", name="SDR (dB)", exact=True)

    def systems():
        return table.get_by_role("rowheader").all_inner_texts()

    assert systems() == ["mixture", "mad", "dws-3-16"]
    heading.get_by_role("button").click()
    assert systems() == ["dws-3-16", "mad", "mixture"]
    assert heading.get_attribute("aria-sort") == "descending"
    heading.get_by_role("button").press("Enter")
    assert systems() == ["mixture", "mad", "dws-3-16"]
    assert heading.get_attribute("aria-sort") == "ascending"
    table.get_by_role("columnheader", name="total params").get_by_role("button").click()
    assert systems() == ["mad", "dws-3-16", "mixture"]  # what is not known stands last
    assert heading.get_attribute("aria-sort") is None


def test_plots_show_values_and_have_them_as_tables(file, open_page):
    page = open_page(file)
    songs = page.get_by_role("region", name="Song by song").first
    assert songs.locator(".points path.point").count() == 5
    songs.locator(".points path.point").first.hover(force=True)
    expect(songs.locator(".hovertext")).to_contain_text("song")
    songs.get_by_text("The numbers as a table").click()
    cells = songs.get_by_role("row").nth(1).get_by_role("cell").all_inner_texts()
    assert [cell.replace("−", "-") for cell in cells] == ["0.80", "1.60", "0.80"]  # 3 - 2 × 1.1, 4 - 2 × 1.2
    songs.get_by_label("Upwards").select_option("mixture")
    expect(songs.locator(".note")).to_contain_text("mixture − mad: −8.00 dB on average over 5 songs")


def positions(looks):
    """What is heard, of which source, and at which position (s); the clock (s), and the position that is shown."""
    return [(*heard_as(look["hz"]), look["s"] - look["lag"], look["shown"] - look["lag"]) for look in looks]


def lost_position_s(looks):
    """By how much the position that is heard leaves that of a clock, at most."""
    found = [position - clock for _, position, clock, _ in positions(looks)]
    return max(found) - min(found)


def play_and_switch(page):
    """Press Play in the first player, choose another sound by the keyboard; returns what was heard meanwhile."""
    player = page.locator(".player").first
    player.get_by_role("button", name="Play").click()
    expect(player.get_by_role("button", name="Pause")).to_be_visible()
    page.wait_for_timeout(400)
    before = page.evaluate(LISTEN, 300)
    mixture = player.get_by_role("radio", name="mixture")
    mixture.focus()
    looks = []
    for _ in range(2):
        page.keyboard.press("ArrowRight")
        looks += page.evaluate(LISTEN, 400)
    return before, looks


def test_switching_keeps_the_position_and_the_sound(file, open_page):
    page = open_page(file)
    before, after = play_and_switch(page)
    assert {source for source, *_ in positions(before)} == {0}
    assert [source for source, *_ in positions(after)][-1] == 3  # the first system of the pair
    assert {source for source, *_ in positions(after)} == {0, 1, 3}
    assert lost_position_s(before + after) < TOLERANCE_S
    assert max(abs(heard - shown) for _, heard, _, shown in positions(before + after)) < TOLERANCE_S
    assert min(look["latest"] for look in before + after) > 0.1  # a sine of 0.4 has 0.28


def test_a_page_that_loses_the_position_is_seen(file, open_page, tmp_path):
    text = file.read_text(encoding="utf-8")
    kept = "this.coming ?? when - this.zero"
    assert text.count(kept) == 1
    broken = tmp_path / "broken.html"
    broken.write_text(text.replace(kept, "this.coming ?? 0"), encoding="utf-8")
    before, after = play_and_switch(open_page(broken))
    assert lost_position_s(before + after) > 0.3


def test_seeking_pausing_and_the_end(file, open_page):
    page = open_page(file)
    player = page.locator(".player").first
    player.get_by_role("button", name="Play").click()
    slider = player.get_by_role("slider", name="Position")
    slider.press("ArrowRight")
    slider.press("ArrowRight")
    page.wait_for_timeout(200)
    looks = page.evaluate(LISTEN, 100)
    _, heard, _, shown = positions(looks)[-1]
    assert 2 < heard < 4
    assert abs(heard - shown) < TOLERANCE_S
    player.get_by_role("button", name="Pause").click()
    position = float(player.get_attribute("data-position"))
    expect(slider).to_have_attribute("aria-valuetext", f"{position:.1f} of 6.0 seconds")
    page.locator(".player").nth(1).get_by_role("button", name="Play").click()
    expect(player.get_by_role("button", name="Play")).to_be_visible()
    player.get_by_role("button", name="Play").click()  # which ends the other one
    expect(page.get_by_role("button", name="Pause")).to_have_count(1)
    box = player.locator(".picture").bounding_box()
    player.locator(".picture").click(position={"x": box["width"] * (1 - 0.3 / SECONDS), "y": 20})
    expect(player.get_by_role("button", name="Play")).to_be_visible(timeout=2000)
    assert float(player.get_attribute("data-position")) == 0


def test_what_is_pressed_before_the_sound_is_there_counts(file, open_page):
    """Oracle: two steps of a second, though decoding takes longer than to press the keys."""
    page = open_page(file)
    page.evaluate(
        """() => {
          const decode = AudioContext.prototype.decodeAudioData;
          AudioContext.prototype.decodeAudioData = async function (bytes) {
            await new Promise((done) => setTimeout(done, 500));
            return decode.call(this, bytes);
          };
        }"""
    )
    player = page.locator(".player").first
    player.get_by_role("button", name="Play").click()
    slider = player.get_by_role("slider", name="Position")
    slider.press("ArrowRight")
    slider.press("ArrowRight")
    assert float(player.get_attribute("data-position")) == 2
    expect(player.get_by_role("button", name="Pause")).to_be_visible()
    _, heard, _, shown = positions(page.evaluate(LISTEN, 100))[-1]
    assert 2 < heard < 4
    assert abs(heard - shown) < TOLERANCE_S


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 360), ("dark", 360)])
def test_light_dark_and_narrow(file, open_page, tmp_path, scheme, width):
    """The page is as wide as the window; its ground is as light or dark as is asked for, and its words stand out."""
    page = open_page(file, width, color_scheme=scheme)
    page.screenshot(path=tmp_path / f"{scheme}-{width}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    ground, ink = (
        page.evaluate(f"getComputedStyle(document.body).{name}.match(/\\d+/g).slice(0, 3).map(Number)")
        for name in ("backgroundColor", "color")
    )
    assert (sum(ground) > 3 * 128) == (scheme == "light")
    assert abs(sum(ground) - sum(ink)) > 3 * 150


def test_names_from_outside_are_shown_as_they_are(open_page, tmp_path):
    """A program in a name would complain, or ask for something."""
    bad = "<img src=x onerror=alert(1)>&amp;<b>"
    page = open_page(write_page([make_ablation(tmp_path, systems=("mad", bad), seeds=1)]))
    table = page.get_by_role("table", name="Systems")
    assert bad in table.get_by_role("rowheader").all_inner_texts()
    assert bad in page.locator("#plot-quality .textpoint text").all_text_contents()
    expect(page.get_by_role("radio", name=bad)).to_have_count(3)


def test_without_sound_and_with_many_systems(open_page, tmp_path):
    page = open_page(write_page([make_ablation(tmp_path, [f"dws-{n}-16" for n in range(1, 41)], 1, 4, sound=False)]))
    assert page.get_by_role("table", name="Systems").get_by_role("rowheader").count() == 41
    assert page.get_by_role("heading", name="Listen").count() == 0
    expect(page.get_by_text("nothing to hear")).to_be_visible()


const COLOURS = {
  light: ["#0072b2", "#d55e00", "#008060", "#b0508a", "#a66f00", "#4a4a9c", "#6b6b6b"],
  dark: ["#56b4e9", "#ff9950", "#3fd0a4", "#e79bc8", "#f0c040", "#a9b0ff", "#c0c0c0"],
};
const SYMBOLS = ["circle", "square", "diamond", "cross", "triangle-up", "x", "star"];
const isDark = window.matchMedia("(prefers-color-scheme: dark)");
const systemNames = [...data.systems, ...data.references, ...data.maps.flatMap((one) => one.systems)].map((one) => one.name);
const drawers = [];

/** How a system is drawn: a colour, and a symbol that tells systems of one colour apart. */
function lookOf(name) {
  const number = Math.max(systemNames.indexOf(name), 0);
  const colours = isDark.matches ? COLOURS.dark : COLOURS.light;
  const round = Math.floor(number / colours.length);
  return { color: colours[number % colours.length], symbol: SYMBOLS[(number + round) % SYMBOLS.length] };
}

/** A colour of the page. */
function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** A text as Plotly shows it: it would read tags in it. */
function plain(text) {
  return String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** "vocals SDR" in the words of a choice. */
function kindTitle(kind) {
  const at = kind.lastIndexOf(" ");
  return `${kind.slice(at + 1)} of the ${kind.slice(0, at)} (dB)`;
}

/** Draw in a section whenever a choice or the colours change; `draw` takes what is chosen by name. */
function plot(name, choices, draw) {
  const section = document.getElementById(`plot-${name}`);
  const [drawing, numbers, note] = [".drawing", ".numbers", ".note"].map((one) => section.querySelector(one));
  const selects = {};
  for (const [choice, { label, options, chosen }] of Object.entries(choices)) {
    const select = element("select");
    for (const [value, title] of options) select.append(element("option", { value, textContent: title }));
    if (chosen !== undefined) select.value = chosen;
    select.addEventListener("change", redraw);
    selects[choice] = select;
    section.querySelector(".choices").append(element("label", { hidden: options.length < 2 }, label, select));
  }
  section.hidden = false;
  function redraw() {
    const chosen = Object.fromEntries(Object.entries(selects).map(([choice, select]) => [choice, select.value]));
    const { traces, layout, height = 420, titles, rows, says = "" } = draw(chosen);
    const [ink, line] = [colour("--ink"), colour("--line")];
    const axis = { gridcolor: line, zerolinecolor: line, linecolor: line, automargin: true };
    const isNarrow = drawing.clientWidth < 600;
    const whole = {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: ink, size: isNarrow ? 11 : 13 },
      margin: { l: 50, r: 20, t: 20, b: 60 }, height, showlegend: false, hovermode: "closest", ...layout,
      xaxis: { ...axis, ...layout.xaxis, title: { standoff: 8, ...layout.xaxis.title } },
      yaxis: { ...axis, ...layout.yaxis },
    };
    if (isNarrow && whole.showlegend) whole.legend = { orientation: "h", y: -0.25 };
    drawing.style.height = `${height}px`;
    Plotly.react(drawing, traces, whole, { responsive: true, displaylogo: false, displayModeBar: false });
    numbers.replaceChildren(makeTable(titles, rows));
    note.textContent = says;
  }
  drawers.push(redraw);
  redraw();
}

/** The kinds of scores ("vocals SDR") that systems have, as options. */
function kindsOf(systems, field) {
  const kinds = [...new Set(systems.flatMap((one) => Object.keys(one[field])))];
  return kinds.map((kind) => [kind, kindTitle(kind)]);
}

/** The mean of a system with its interval, and its seeds where there are several; `x` is "" or a measure's name. */
function tracesOf(one, { x, kind }, number, hasLabels) {
  const { mean, interval, seeds } = one.points[kind];
  const look = lookOf(one.name);
  const name = plain(one.name);
  const at = x === "" ? name : one.about[x];
  const range = interval ? `<br>95 % interval ${interval.map(decibels).join(" to ")}` : "";
  const ofSeeds = {
    x: seeds.map(() => at), y: seeds, mode: "markers", opacity: 0.4, marker: { ...look, size: 7 },
    hovertemplate: `${name}, a seed<br>%{y:.2f} dB<extra></extra>`,
  };
  const ofMean = {
    x: [at], y: [mean], mode: hasLabels ? "markers+text" : "markers", text: [name], cliponaxis: false,
    textposition: number % 2 ? "bottom right" : "top right", marker: { ...look, size: 11 },
    hovertemplate: `<b>${name}</b><br>%{y:.2f} dB${range}${x === "" ? "" : "<br>%{x:.4s}"}<extra></extra>`,
  };
  if (interval) {
    const [array, arrayminus] = [[interval[1] - mean], [mean - interval[0]]];
    ofMean.error_y = { type: "data", symmetric: false, array, arrayminus, color: look.color, thickness: 1.5 };
  }
  return seeds.length > 1 ? [ofSeeds, ofMean] : [ofMean];
}

/** Notes on what gives the scale: at the edge, or at a line where it lies between the systems, from low to high. */
function scaleNotes(kind, low, high) {
  const scale = data.references.filter((one) => one.points[kind]).map((one) => [one.name, one.points[kind].mean]);
  const says = ([name, mean], arrow) => `${plain(name)} ${arrow}${decibels(mean)} dB`;
  const left = { align: "left", xref: "paper", x: 0.01, xanchor: "left", showarrow: false };
  const note = (where, those, arrow) => {
    const text = those.map((one) => says(one, arrow)).join("<br>");
    return those.length ? [{ ...left, ...where, text, font: { color: colour("--faint") } }] : [];
  };
  const inside = scale.filter(([, mean]) => mean >= low && mean <= high);
  const line = { dash: "dot", color: colour("--faint"), width: 1 };
  return {
    annotations: [
      ...note({ yref: "paper", y: 1, yanchor: "top" }, scale.filter(([, mean]) => mean > high), "↑ "),
      ...note({ yref: "paper", y: 0, yanchor: "bottom" }, scale.filter(([, mean]) => mean < low), "↓ "),
      ...inside.flatMap((one) => note({ yref: "y", y: one[1], yanchor: "bottom" }, [one], "")),
    ],
    shapes: inside.map(([, mean]) => ({ type: "line", xref: "paper", x0: 0, x1: 1, y0: mean, y1: mean, line })),
  };
}

function drawQuality({ x, kind }) {
  const shown = data.systems.filter((one) => one.points[kind] && (x === "" || one.about[x]));
  const hasLabels = shown.length <= 12 && x !== "";
  const traces = shown.flatMap((one, number) => tracesOf(one, { x, kind }, number, hasLabels));
  const values = shown.flatMap((one) => [...one.points[kind].seeds, ...(one.points[kind].interval || [])]);
  const room = Math.max((Math.max(...values) - Math.min(...values)) * 0.12, 0.3);
  const [low, high] = [Math.min(...values) - room, Math.max(...values) + room];
  const scale = x === "" ? { type: "category" } : { type: "log", ...spread(shown.map((one) => one.about[x])) };
  const layout = {
    xaxis: { title: { text: x === "" ? "" : data.measures[x] }, ...scale },
    yaxis: { title: { text: plain(kindTitle(kind)) }, range: values.length ? [low, high + room] : undefined },
    ...scaleNotes(kind, low, high),
  };
  const measured = x === "" ? [] : [x];
  const titles = ["system", kindTitle(kind), "from", "to", ...measured.map((name) => data.measures[name])];
  const rows = [...shown, ...data.references.filter((one) => one.points[kind])].map((one) => {
    const { mean, interval } = one.points[kind];
    return [one.name, mean, ...(interval || [null, null]), ...measured.map((name) => one.about[name])];
  });
  return { traces, layout, titles, rows };
}

/** The range of a logarithmic axis, with room for labels at the right, and its marks: 1, 2 and 5 of each decade. */
function spread(values) {
  const logs = values.map(Math.log10);
  const [low, high] = [Math.min(...logs), Math.max(...logs)];
  const room = Math.max((high - low) * 0.1, 0.1);
  const range = [low - room, high + 2.5 * room];
  const tickvals = [];
  for (let decade = Math.floor(range[0]); decade <= range[1]; decade += 1) {
    tickvals.push(...[1, 2, 5].map((digit) => digit * 10 ** decade));
  }
  const form = { notation: "compact", maximumSignificantDigits: 3 };
  const ticktext = tickvals.map((value) => value.toLocaleString("en", form));
  return { range, tickvals, ticktext };
}

const MOST_PAIRS = 60;

function drawDifferences({ kind }) {
  const all = data.differences.filter((one) => `${one.target} ${one.metric}` === kind);
  const shown = all.slice(0, MOST_PAIRS).reverse();
  const mean = (one) => one.mean_db ?? one.mean_difference_db;
  const ends = (one) => one.interval_db || [mean(one), mean(one)];
  const found = (one) => ends(one)[0] > 0 || ends(one)[1] < 0;
  const colours = isDark.matches ? COLOURS.dark : COLOURS.light;
  const p = (one) => one.p_holm ?? one.p_value ?? null;
  const looks = shown.map((one) => (found(one) ? [colours[1], "diamond"] : [colours[0], "circle"]));
  const says = (one) => {
    const chance = p(one) === null ? "" : `, p = ${p(one).toPrecision(2)}`;
    return `${ends(one).map(signed).join(" to ")} dB, ${one.songs} songs${chance}`;
  };
  const array = shown.map((one) => ends(one)[1] - mean(one));
  const arrayminus = shown.map((one) => mean(one) - ends(one)[0]);
  const traces = [{
    x: shown.map(mean), y: shown.map((one) => plain(one.name)), mode: "markers", type: "scatter",
    marker: { color: looks.map(([color]) => color), symbol: looks.map(([, symbol]) => symbol), size: 10 },
    error_x: { type: "data", symmetric: false, array, arrayminus, color: colour("--faint") },
    text: shown.map(says), hovertemplate: "%{y}<br>%{x:+.2f} dB, %{text}<extra></extra>",
  }];
  const line = { color: colour("--faint"), width: 1 };
  const layout = {
    xaxis: { title: { text: "A − B (dB)" } }, yaxis: { type: "category", range: [-0.7, shown.length - 0.3] },
    shapes: [{ type: "line", yref: "paper", y0: 0, y1: 1, x0: 0, x1: 0, line }],
  };
  const titles = ["A − B", "mean (dB)", "from", "to", "songs", "p, corrected", "would have been seen (dB)"];
  const rows = all.map((one) => [one.name, mean(one), ...ends(one), one.songs, p(one), one.visible_db ?? null]);
  const more = `The first ${MOST_PAIRS} of ${all.length} are drawn; all are in the table.`;
  const note = `Diamonds: the interval leaves 0 out. ${all.length > MOST_PAIRS ? more : ""}`;
  return { traces, layout, height: 110 + 30 * shown.length, titles, rows, says: note };
}

function drawSongs({ a, b, kind }) {
  const [one, other] = [a, b].map((name) => withSongs.find((system) => system.name === name).songs[kind] || {});
  const songs = Object.keys(one).filter((song) => song in other);
  const differences = songs.map((song) => other[song] - one[song]);
  const values = songs.flatMap((song) => [one[song], other[song]]);
  const [low, high] = values.length ? [Math.min(...values), Math.max(...values)] : [0, 1];
  const room = Math.max((high - low) * 0.06, 0.1);
  const range = [low - room, high + room];
  const look = lookOf(b);
  const traces = [{
    x: songs.map((song) => one[song]), y: songs.map((song) => other[song]), mode: "markers",
    text: songs.map((song, number) => `${plain(song)}<br>difference ${signed(differences[number])} dB`),
    marker: { ...look, size: 10, opacity: 0.85 }, hovertemplate: "%{text}<br>%{x:.2f} and %{y:.2f} dB<extra></extra>",
  }];
  const axis = { range, constrain: "domain" };
  const line = { dash: "dot", color: colour("--faint") };
  const layout = {
    xaxis: { ...axis, title: { text: plain(a) } }, yaxis: { ...axis, title: { text: plain(b) }, scaleanchor: "x" },
    shapes: [{ type: "line", x0: range[0], y0: range[0], x1: range[1], y1: range[1], line }],
  };
  const mean = differences.reduce((sum, value) => sum + value, 0) / differences.length;
  const better = differences.filter((value) => value > 0).length;
  const says = songs.length
    ? `${b} − ${a}: ${signed(mean)} dB on average over ${songs.length} songs, better on ${better} of them.`
    : "No song has scores of both.";
  const rows = songs.map((song, number) => [song, one[song], other[song], differences[number]]);
  const titles = ["song", a, b, "difference (dB)"];
  return { traces, layout, height: window.innerWidth < 640 ? 380 : 460, titles, rows, says };
}

const DASHES = ["solid", "dash", "dot", "dashdot"];

function drawCurves({ what }) {
  const lines = data.curves[what];
  const traces = lines.map((line) => {
    const { color, symbol } = lookOf(line.system);
    return {
      x: line.x, y: line.y, name: plain(line.name), mode: line.x.length > 20 ? "lines" : "lines+markers",
      line: { color, width: 1.5, dash: DASHES[line.number % DASHES.length] }, marker: { symbol },
      hovertemplate: `${plain(line.name)}<br>step %{x:,.0f}: %{y:.4g}<extra></extra>`,
    };
  });
  const values = lines.flatMap((line) => line.y);
  const scale = Math.min(...values) > 0 ? { type: "log", ...spread(values), range: undefined } : { type: "linear" };
  const layout = {
    xaxis: { title: { text: "step" } }, yaxis: { title: { text: plain(what) }, ...scale },
    showlegend: lines.length > 1 && lines.length <= 16,
  };
  const rows = lines.map((line) => [line.name, line.x.at(-1), line.y[0], line.y.at(-1), Math.min(...line.y)]);
  return { traces, layout, titles: ["training", "last step", "first", "last", "least"], rows };
}

/** The scores of systems against the shares of their maps' energy near the diagonal, of one comparison. */
function drawMaps({ which, place }) {
  const { systems, relations } = data.maps[which];
  const shown = systems.filter((one) => one.points[place]);
  const traces = shown.flatMap((one, number) => {
    const { x, y, seeds } = one.points[place];
    const [look, name] = [lookOf(one.name), plain(one.name)];
    const hover = `${name}<br>%{x:.1f} %, %{y:.2f} dB<extra></extra>`;
    const ofSeeds = {
      x: seeds.map(([share]) => share), y: seeds.map(([, score]) => score), mode: "markers", opacity: 0.4,
      marker: { ...look, size: 7 }, hovertemplate: hover,
    };
    const ofMean = {
      x: [x], y: [y], mode: "markers+text", text: [name], cliponaxis: false, hovertemplate: hover,
      textposition: number % 2 ? "bottom center" : "top center", marker: { ...look, size: 11 },
    };
    return seeds.length > 1 ? [ofSeeds, ofMean] : [ofMean];
  });
  const title = `energy ${relations[place].place} (%)`;
  const layout = { xaxis: { title: { text: title } }, yaxis: { title: { text: "SDR of the voice (dB)" } } };
  const rows = shown.map((one) => [one.name, one.points[place].x, one.points[place].y, one.points[place].seeds.length]);
  const titles = ["system", title, "SDR (dB)", "trainings"];
  return { traces, layout, titles, rows, says: relations[place].says };
}

const withSongs = [...data.systems, ...data.references].filter((one) => Object.keys(one.songs).length);
const hasSongs = (name) => withSongs.some((one) => one.name === name);
const firstTwo = withSongs.slice(0, 2).map((one) => one.name);
const [upwards, across] = data.pair && data.pair.every(hasSongs) ? data.pair : firstTwo;

if (data.systems.some((one) => Object.keys(one.points).length)) {
  const measures = Object.entries(data.measures);
  plot("quality", {
    x: { label: "Against", options: measures.length ? measures : [["", "system"]] },
    kind: { label: "Score", options: kindsOf(data.systems, "points") },
  }, drawQuality);
}
if (data.differences.length) {
  const kinds = [...new Set(data.differences.map((one) => `${one.target} ${one.metric}`))];
  const options = kinds.map((kind) => [kind, kindTitle(kind)]);
  plot("differences", { kind: { label: "Score", options } }, drawDifferences);
}
if (withSongs.length > 1) {
  const names = withSongs.map((one) => [one.name, one.name]);
  plot("songs", {
    a: { label: "Across", options: names, chosen: across },
    b: { label: "Upwards", options: names, chosen: upwards },
    kind: { label: "Score", options: kindsOf(withSongs, "songs") },
  }, drawSongs);
}
if (Object.keys(data.curves).length) {
  const options = Object.keys(data.curves).map((what) => [what, what]);
  plot("curves", { what: { label: "Show", options } }, drawCurves);
}
if (data.maps.some((one) => one.systems.length)) {
  const places = data.maps[0].relations.map((one, number) => [String(number), one.place]);
  plot("maps", {
    which: { label: "Of", options: data.maps.map((one, number) => [String(number), one.name]) },
    place: { label: "Energy", options: places, chosen: String(data.maps[0].chosen) },
  }, drawMaps);
}
isDark.addEventListener("change", () => drawers.forEach((redraw) => redraw()));

"use strict";
const data = JSON.parse(document.getElementById("data").textContent);

/** Make an element with properties and children. */
function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** The value that a cell is sorted by: a number, a text, or null for what is not known. */
function valueOf(cell) {
  const value = cell.dataset.value;
  if (value === undefined) return null;
  return value !== "" && Number.isFinite(Number(value)) ? Number(value) : value;
}

/** Below 0 where a comes first; what is not known comes last, whichever way. */
function compare(a, b, way) {
  if (a === null || b === null) return (a === null) - (b === null);
  if (typeof a === "number" && typeof b === "number") return way * (a - b);
  return way * String(a).localeCompare(String(b), "en", { numeric: true });
}

/** Sort a table by a column when its heading is pressed: numbers from the greatest on, words from A on, then back. */
function makeSortable(table) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    heading.querySelector("button").addEventListener("click", () => {
      const before = heading.getAttribute("aria-sort");
      const first = heading.classList.contains("word") ? "ascending" : "descending";
      const next = !before ? first : before === "ascending" ? "descending" : "ascending";
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", next);
      const way = next === "ascending" ? 1 : -1;
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => compare(valueOf(a.cells[column]), valueOf(b.cells[column]), way));
      table.tBodies[0].append(...rows);
    });
  });
}

/** Make a sortable table of texts and numbers; the first column holds words. */
function makeTable(titles, rows) {
  const heading = (title, column) =>
    element("th", { scope: "col", className: column ? "" : "word" }, element("button", { type: "button" }, title));
  const body = rows.map((values) => {
    const cells = values.map((value, column) => {
      const text = typeof value === "number" ? shortly(value) : value ?? "–";
      const cell = element(column ? "td" : "th", { className: column ? "" : "word" }, text);
      if (!column) cell.scope = "row";
      if (value !== null && value !== undefined) cell.dataset.value = value;
      return cell;
    });
    return element("tr", {}, ...cells);
  });
  const head = element("thead", {}, element("tr", {}, ...titles.map(heading)));
  const table = element("table", {}, head, element("tbody", {}, ...body));
  makeSortable(table);
  return table;
}

/** A number with as many digits as a reader needs. */
function shortly(value) {
  if (Number.isInteger(value)) return value.toLocaleString("en");
  return Math.abs(value) >= 0.1 ? decibels(value) : value.toPrecision(2).replace("-", "−");
}

/** A number of dB; a difference has its sign. */
function decibels(value) {
  return (value < 0 ? "−" : "") + Math.abs(value).toFixed(2);
}
function signed(value) {
  return (value < 0 ? "" : "+") + decibels(value);
}

document.querySelectorAll("table").forEach(makeSortable);


"use strict";
// Everything that a name, an error or a case says reaches the page as text only: no markup is ever made from it.
const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
const read = (id) => JSON.parse(document.getElementById(id).textContent);

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function draw(tag, attributes = {}, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== "") element.textContent = text;
  return element;
}

// Pictures: each is kept once and shown where it is asked for.
const pictures = read("pictures");
for (const image of all("img[data-picture]")) image.src = pictures[image.dataset.picture];

// Tables: the best value comes first at the first click, empty cells stay last.
for (const button of all("[data-sort]")) {
  button.addEventListener("click", () => {
    const head = button.closest("th");
    const table = button.closest("table");
    const place = Number(button.dataset.sort);
    const first = head.dataset.better === "higher" ? "descending" : "ascending";
    const second = first === "ascending" ? "descending" : "ascending";
    const order = head.getAttribute("aria-sort") === first ? second : first;
    for (const other of all("th[aria-sort]", table)) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const value = (row) => {
      const cell = row.cells[place];
      if (head.dataset.better === "text") return cell.textContent;
      return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
    };
    const compareRows = (a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === null || y === null) return (x === null) - (y === null);
      return sign * (typeof x === "string" ? x.localeCompare(y) : x - y);
    };
    const body = table.tBodies[0];
    body.append(...[...body.rows].sort(compareRows));
  });
}

// Columns.
const boxes = all(".columns input");
const told = document.querySelector(".columns summary span");
for (const box of boxes) {
  box.addEventListener("change", () => {
    for (const cell of all(`#results [data-metric="${box.value}"]`)) cell.hidden = !box.checked;
    told.textContent = `${boxes.filter((other) => other.checked).length} of ${boxes.length}`;
  });
}
for (const button of all("[data-columns]")) {
  button.addEventListener("click", () => {
    const everything = button.dataset.columns === "all";
    for (const part of [...boxes, ...all("#results [data-metric]")]) {
      const shown = everything || part.hasAttribute("data-main");
      if (part.tagName === "INPUT") part.checked = shown;
      else part.hidden = !shown;
    }
    told.textContent = everything ? "all" : "those that tell most";
  });
}

const difficulty = document.getElementById("difficulty");
difficulty?.addEventListener("change", () => {
  for (const part of all("[data-metric-table]")) part.hidden = part.dataset.metricTable !== difficulty.value;
});

// Charts: pressed methods stand out everywhere.
const lit = new Set();
for (const button of all("[data-highlight]")) {
  button.addEventListener("click", () => {
    const number = button.dataset.highlight;
    if (!lit.delete(number)) lit.add(number);
    for (const other of all("[data-highlight]")) other.setAttribute("aria-pressed", lit.has(other.dataset.highlight));
    for (const chart of all(".charts")) chart.classList.toggle("lit", lit.size > 0);
    for (const series of all("[data-series]")) series.classList.toggle("on", lit.has(series.dataset.series));
  });
}

// Two methods compared.
const { methods, metrics, groups, comparisons } = read("comparisons");
const [chosenA, chosenB, chosenMetric] = ["a", "b", "by"].map((id) => document.getElementById(id));
const compared = document.getElementById("compared");

const swapped = (found) => ({
  ...found,
  means: [found.means[1], found.means[0]],
  alone: [found.alone[1], found.alone[0]],
  difference: [0, 2, 1].map((place) => (found.difference[place] === null ? null : -found.difference[place])),
  score: [...found.score].reverse(),
  parts: found.parts.map(([label, n, difference, wins, ties, losses]) => [label, n, -difference, losses, ties, wins]),
  best: [1, 0].map((side) => found.best[side].map(([name, value]) => [name, -value])),
});

function findComparisons(a, b, metric) {
  const own = comparisons.filter((found) => found.metric === metric);
  return own.filter((found) => found.a === a && found.b === b)
    .concat(own.filter((found) => found.a === b && found.b === a).map(swapped));
}

function score([wins, ties, losses]) {
  const total = wins + ties + losses;
  const bar = make("div", { class: "score", role: "img", "aria-label": `${wins} wins, ${ties} ties, ${losses} losses` });
  for (const [kind, count] of [["win", wins], ["tie", ties], ["loss", losses]]) {
    const part = make("i", { class: kind });
    part.style.width = `${(100 * count) / total}%`;
    bar.append(part);
  }
  return bar;
}

function showComparison() {
  const [a, b, metric] = [Number(chosenA.value), Number(chosenB.value), chosenMetric.value];
  const found = findComparisons(a, b, metric);
  compared.replaceChildren();
  if (!found.length) {
    compared.append(make("p", { class: "soft" }, a === b ? "Choose two methods." : "No case has this metric for both."));
    return;
  }
  const [unit, better, digits] = metrics[metric];
  const signed = (value) => (value > 0 ? "+" : value < 0 ? "−" : "") + Math.abs(value).toFixed(digits);
  const measure = unit ? `${metric} (${unit})` : metric;
  const heads = ["dataset", "cases", "A", "B", "A − B", "95 %", "wins / ties / losses of A", "", "p"];
  const body = make("tbody");
  for (const one of found) {
    const [difference, low, high] = one.difference;
    const cells = [one.n, one.means[0].toFixed(digits), one.means[1].toFixed(digits), signed(difference),
      low === null ? "–" : `${signed(low)} … ${signed(high)}`, one.score.join(" / "), score(one.score),
      one.p < 0.001 ? "< 0.001" : one.p.toFixed(3)];
    const row = make("tr", {}, make("th", { scope: "row" }, groups[one.group].title));
    row.append(...cells.map((cell) => make("td", {}, cell)));
    body.append(row);
    for (const [label, n, part, wins, ties, losses] of one.parts) {
      const counts = [wins, ties, losses];
      const line = make("tr", { class: "part" }, make("th", { scope: "row" }, label));
      line.append(...[n, "", "", signed(part), "", counts.join(" / "), score(counts), ""].map((x) => make("td", {}, x)));
      body.append(line);
    }
  }
  const table = make("table", {}, make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", {}, head)))), body);
  const area = make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "comparison" }, table);
  const key = make("p", { class: "soft" }, `${measure}, ${better} is better.`, make("i", { class: "key win" }),
    `${methods[a]} wins`, make("i", { class: "key loss" }), `${methods[b]} wins`);
  const charts = make("div", { class: "charts" });
  charts.append(...found.map((one) => scatter(groups[one.group], metric, measure, a, b, better)).filter(Boolean));
  compared.append(area, key, charts, ...found.flatMap((one) => remarks(one, a, b, signed)));
}

function remarks(one, a, b, signed) {
  const lines = [];
  [a, b].forEach((method, side) => {
    const cases = one.best[side].map(([name, value]) => `${name} (${signed(value)})`).join(", ");
    if (cases) lines.push(`Biggest wins of ${methods[method]}: ${cases}.`);
    if (one.alone[side]) lines.push(`Left out: ${one.alone[side]} cases where only ${methods[method]} has a value.`);
  });
  return lines.length ? [make("p", { class: "soft" }, `${groups[one.group].title}. ${lines.join(" ")}`)] : [];
}

function ticks(low, high, log) {
  if (log) {
    const values = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1) values.push(10 ** power);
    return values.filter((value) => value >= low);
  }
  const rough = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough * 0.999);
  const values = [];
  for (let number = Math.ceil(low / step); number * step <= high; number += 1) values.push(number * step);
  return values;
}

function scatter(group, metric, measure, a, b, better) {
  const values = group.values[metric];
  if (!values) return null;
  const points = values[a].map((x, place) => [x, values[b][place], place])
    .filter(([x, y]) => x !== null && y !== null);
  if (!points.length) return null;
  const numbers = points.flatMap(([x, y]) => [x, y]);
  let [low, high] = [Math.min(...numbers), Math.max(...numbers)];
  const log = low > 0 && high > 50 * low;
  const room = log ? Math.max((high / low) ** 0.06, 1.1) : 0.06 * (high - low) || 0.1 * Math.abs(high) || 1;
  [low, high] = log ? [low / room, high * room] : [low - room, high + room];
  const part = (value) => (log ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low));
  const [side, left, top] = [330, 62, 12];
  const across = (value) => left + part(value) * side;
  const down = (value) => top + (1 - part(value)) * side;
  const svg = draw("svg", { viewBox: `0 0 ${left + side + 14} ${top + side + 48}`, role: "img",
    "aria-label": `${measure} of ${methods[a]} against ${methods[b]}` });
  const frame = draw("g", { class: "frame" });
  for (const value of ticks(low, high, log)) {
    const text = String(Number(value.toPrecision(4)));
    frame.append(draw("path", { d: `M${across(value)} ${top}v${side}` }), draw("path", { d: `M${left} ${down(value)}h${side}` }));
    frame.append(draw("text", { x: across(value), y: top + side + 17, "text-anchor": "middle" }, text));
    frame.append(draw("text", { x: left - 7, y: down(value) + 4, "text-anchor": "end" }, text));
  }
  frame.append(draw("text", { x: left + side / 2, y: top + side + 38, "text-anchor": "middle" }, methods[a]));
  frame.append(draw("text", { transform: `translate(13 ${top + side / 2}) rotate(-90)`, "text-anchor": "middle" }, methods[b]));
  const marks = draw("g", { class: "points" });
  for (const [x, y, place] of points) {
    const gain = better === "higher" ? x - y : y - x;
    const dot = draw("circle", { cx: across(x).toFixed(1), cy: down(y).toFixed(1), r: 3.5,
      class: gain > 0 ? "win" : gain < 0 ? "loss" : "tie" });
    const subset = group.subsets[place] ? `, ${group.subsets[place]}` : "";
    dot.append(draw("title", {}, `${group.names[place]}${subset}: ${x} against ${y}`));
    marks.append(dot);
  }
  svg.append(frame, draw("path", { class: "diagonal", d: `M${left} ${top + side}L${left + side} ${top}` }), marks);
  const some = group.names.length < group.all ? ` (${group.names.length} of ${group.all} cases, evenly spread)` : "";
  return make("figure", { class: "chart" }, make("figcaption", {}, group.title + some), make("div", { class: "scroll" }, svg));
}

if (chosenA) {
  chosenB.selectedIndex = 1;
  for (const menu of [chosenA, chosenB, chosenMetric]) menu.addEventListener("change", showComparison);
  showComparison();
}

// Gallery.
const still = matchMedia("(prefers-reduced-motion: reduce)");
const timers = new Map();
function flicker(card, button) {
  if (still.matches) { // one change for each press
    if (!card.classList.contains("flick")) card.classList.add("flick");
    else if (card.classList.contains("off")) card.classList.remove("flick", "off");
    else card.classList.add("off");
    button.setAttribute("aria-pressed", card.classList.contains("flick"));
    return;
  }
  const on = card.classList.toggle("flick");
  button.setAttribute("aria-pressed", on);
  card.classList.remove("off");
  clearInterval(timers.get(card));
  if (on) timers.set(card, setInterval(() => card.classList.toggle("off"), 500));
}
for (const button of all("[data-act]")) {
  const card = button.closest(".card");
  button.addEventListener("click", () => {
    if (button.dataset.act === "flicker") flicker(card, button);
    else button.setAttribute("aria-pressed", card.classList.toggle("past"));
  });
}
for (const divider of all(".slider input")) {
  divider.addEventListener("input", () => divider.parentNode.style.setProperty("--cut", `${divider.value}%`));
}
const filters = all("[data-filter]");
const cards = all(".card");
const more = document.querySelector(".more");
const atFirst = 24;
function showCards(most) {
  const wanted = cards.filter((card) => filters.every((menu) => !menu.value || card.dataset[menu.dataset.filter] === menu.value));
  const shown = new Set(wanted.slice(0, most));
  for (const card of cards) card.hidden = !shown.has(card);
  more.hidden = shown.size === wanted.length;
  document.querySelector(".menus output").textContent = `${shown.size} of ${wanted.length} shown`;
}
if (more) {
  for (const menu of filters) menu.addEventListener("change", () => showCards(atFirst));
  more.addEventListener("click", () => showCards(Infinity));
  showCards(atFirst);
}

"use strict";
(() => {
const PAGE = 50;
const $ = id => document.getElementById(id);
const cells = JSON.parse($("data").textContent);
const images = JSON.parse($("images").textContent);

// Text from data reaches the page through text nodes and plain attributes only.
function el(name, attributes, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== false) node.setAttribute(key, value);
  }
  node.append(...children.filter(child => child !== undefined && child !== null));
  return node;
}

const shown = value => value === null || value === undefined ? "missing" : Math.abs(value) < 10 ? value.toFixed(3) : value.toPrecision(5);
const outcome = s => s.error !== undefined ? "failed" : s.correct === true ? "correct" : s.correct === false ? "wrong" : "answered";
const confidence = s => s.probabilities.length ? Math.max(...s.probabilities) : NaN;
const colour = kind => kind === "correct" ? "good" : kind === "answered" ? "quiet" : "bad";
function loss(cell, s) {
  const p = s.probabilities[cell.classes.indexOf(s.target)];
  return p === undefined ? NaN : -Math.log(Math.max(p, 1e-12));
}

const entries = cells.map(cell => cell.samples.map(s => ({ cell, s, outcome: outcome(s), confidence: confidence(s), loss: loss(cell, s) })));
const text = e => e.text ??= [e.s.id, e.s.patient, e.s.question, e.s.target, e.s.prediction, e.s.error,
  ...e.s.groups.map(([k, v]) => `${k}=${v}`)].filter(Boolean).join("\n").toLowerCase();

const state = { cell: cells.length ? "0" : "all", outcome: "all", order: "position", query: "", page: 0, list: [] };
const pool = () => state.cell === "all" ? entries.flat() : entries[+state.cell];

function orders() {
  const list = pool(), options = [["position", "as in the split"]];
  if (list.some(e => !isNaN(e.confidence))) options.push(["sure", "most confident first"], ["unsure", "least confident first"]);
  if (list.some(e => !isNaN(e.loss))) options.push(["loss", "largest loss first"]);
  const names = new Set(list.flatMap(e => e.s.scores.map(([name]) => name)));
  for (const name of names) options.push([`score:${name}`, `${name}, lowest first`]);
  return options;
}

function key(order) {
  if (order === "sure") return e => -e.confidence;
  if (order === "unsure") return e => e.confidence;
  if (order === "loss") return e => -e.loss;
  const name = order.slice("score:".length);
  return e => e.s.scores.find(([n]) => n === name)?.[1] ?? NaN;
}

function select() {
  const query = state.query.trim().toLowerCase();
  const found = pool().filter(e => !query || text(e).includes(query));
  for (const button of $("outcomes").children) {
    const kind = button.dataset.outcome;
    button.setAttribute("aria-pressed", kind === state.outcome);
    button.lastElementChild.textContent = (kind === "all" ? found : found.filter(e => e.outcome === kind)).length.toLocaleString("en");
  }
  state.list = state.outcome === "all" ? found : found.filter(e => e.outcome === state.outcome);
  if (state.order !== "position") {
    const rank = key(state.order), keyed = state.list.map(e => [rank(e), e]);
    // What has no key comes last; ties keep the order of the split.
    keyed.sort(([a], [b]) => isNaN(a) || isNaN(b) ? isNaN(a) - isNaN(b) : a - b);
    state.list = keyed.map(([, e]) => e);
  }
  const last = Math.max(0, Math.ceil(state.list.length / PAGE) - 1);
  state.page = Math.min(state.page, last);
  draw(last);
}

function picture(s, size) {
  return s.image === undefined ? el("span", { class: "blank" })
    : el("img", { src: images[s.image], alt: `image of sample ${s.id}`, width: size, height: size, loading: "lazy" });
}

function meter(p) {
  const fill = el("i");
  fill.style.width = `${Math.max(0, Math.min(1, p)) * 100}%`;
  return el("span", { class: "meter", "aria-hidden": "true" }, fill);
}

function row(e, at) {
  const s = e.s, open = () => show(at);
  return el("tr", { onclick: open },
    el("td", { class: "picture" }, picture(s, 64)),
    el("th", { scope: "row" }, el("button", { type: "button", class: "link", "aria-haspopup": "dialog" }, s.id),
      s.patient !== undefined ? el("span", { class: "small" }, `patient ${s.patient}`) : null,
      state.cell === "all" ? el("span", { class: "small" }, `${e.cell.model}, ${e.cell.usage}`) : null,
      el("span", { class: "small" }, s.groups.map(([k, v]) => `${k} ${v}`).join(", "))),
    el("td", {}, s.question !== undefined ? el("span", { class: "small text" }, s.question) : null, el("span", { class: "text" }, s.target)),
    el("td", {}, el("span", { class: `text ${colour(e.outcome)}` }, s.error ?? s.prediction)),
    el("td", {}, ...(isNaN(e.confidence) ? [] : [meter(e.confidence), shown(e.confidence)])),
    el("td", { class: colour(e.outcome) }, e.outcome));
}

function draw(last) {
  const from = state.page * PAGE, rows = state.list.slice(from, from + PAGE);
  $("rows").tBodies[0].replaceChildren(...rows.map((e, i) => row(e, from + i)));
  $("status").textContent = `${state.list.length.toLocaleString("en")} of ${pool().length.toLocaleString("en")} samples`
    + (rows.length && last ? `, ${from + 1} to ${from + rows.length} shown` : "");
  $("place").textContent = `page ${state.page + 1} of ${last + 1}`;
  $("back").disabled = state.page === 0;
  $("forth").disabled = state.page === last;
}

function table(head, rows) {
  return el("table", {}, el("thead", {}, el("tr", {}, ...head.map(h => el("th", { scope: "col" }, h)))),
    el("tbody", {}, ...rows.map(cells => el("tr", {}, ...cells.map(c => el("td", {}, c))))));
}

const others = e => cells.filter(c => c !== e.cell && c.set === e.cell.set)
  .map(c => [c, c.samples.find(s => s.index === e.s.index)]).filter(([, s]) => s);

function show(at) {
  const e = state.list[at], s = e.s, dialog = $("detail");
  const facts = [["question", s.question], ["target", s.target], ["prediction", s.error === undefined ? s.prediction : undefined],
    ["failure", s.error], ["outcome", e.outcome], ["loss", isNaN(e.loss) ? undefined : shown(e.loss)], ["patient", s.patient],
    ...s.groups, ["position", `${s.index} in ${e.cell.set}`], ["cell", e.cell.id],
    ["files", `${e.cell.id}/predictions.jsonl and scores.jsonl, index ${s.index}`]].filter(([, value]) => value !== undefined);
  const step = (by, label) => el("button", { type: "button", onclick: () => show(at + by), disabled: state.list[at + by] ? undefined : "" }, label);
  const percent = s.probabilities.map((p, i) => [e.cell.classes[i] ?? `class ${i}`, el("span", {}, meter(p), shown(p))]);
  const rest = others(e).map(([c, o]) => [`${c.model}, ${c.usage}`, o.error ?? o.prediction,
    el("span", { class: colour(outcome(o)) }, outcome(o)), isNaN(confidence(o)) ? "" : shown(confidence(o))]);
  dialog.replaceChildren(
    el("div", { class: "bar" }, step(-1, "← previous"), step(1, "next →"), el("button", { type: "button", id: "close", onclick: () => dialog.close() }, "close")),
    el("h2", { id: "detail-title" }, s.id),
    el("div", { class: "columns" }, picture(s, 320), el("div", {},
      el("dl", {}, ...facts.flatMap(([k, v]) => [el("dt", {}, k), el("dd", { class: k === "outcome" ? colour(v) : k === "failure" ? "bad" : undefined }, v)])),
      ...(percent.length ? [el("h3", {}, "Probabilities"), table(["class", "probability"], percent)] : []),
      ...(s.scores.length ? [el("h3", {}, "Scores"), table(["score", "value"], s.scores.map(([name, value]) => [name, shown(value)]))] : []),
      ...(rest.length ? [el("h3", {}, "The same sample in other cells"), table(["cell", "prediction", "outcome", "confidence"], rest)] : []))));
  dialog.onkeydown = event => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by && state.list[at + by]) show(at + by);
  };
  if (!dialog.open) dialog.showModal();
}

function fillOrders() {
  const options = orders();
  if (!options.some(([value]) => value === state.order)) state.order = "position";
  $("order").replaceChildren(...options.map(([value, label]) => el("option", { value }, label)));
  $("order").value = state.order;
}

const set = (change) => { Object.assign(state, { page: 0 }, change); select(); };
$("rows").tHead.append(el("tr", {}, ...["Image", "Sample", "Target", "Prediction", "Confidence", "Outcome"].map(h => el("th", { scope: "col" }, h))));
$("cell").append(...cells.map((c, i) => el("option", { value: i }, c.id)), el("option", { value: "all" }, "all cells"));
$("cell").value = state.cell;
$("cell").addEventListener("change", () => { state.cell = $("cell").value; fillOrders(); set(); });
$("order").addEventListener("change", () => set({ order: $("order").value }));
$("search").addEventListener("input", () => set({ query: $("search").value }));
$("outcomes").addEventListener("click", event => {
  const button = event.target.closest("button");
  if (button) set({ outcome: button.dataset.outcome });
});
$("back").addEventListener("click", () => set({ page: state.page - 1 }));
$("forth").addEventListener("click", () => set({ page: state.page + 1 }));
$("detail").addEventListener("click", event => { if (event.target === $("detail")) $("detail").close(); });
for (const figure of document.querySelectorAll(".roc")) {
  for (const line of figure.querySelectorAll("tr[data-line]")) {
    const fade = on => figure.querySelectorAll("polyline").forEach(p => p.classList.toggle("faded", on && p.dataset.line !== line.dataset.line));
    line.addEventListener("mouseenter", () => fade(true));
    line.addEventListener("mouseleave", () => fade(false));
  }
}
fillOrders();
select();
$("browser").hidden = cells.length === 0;
})();

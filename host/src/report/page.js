"use strict";
(() => {
const PAGE = 50;
// Parts that are kept: what was not shown for a while is read again.
const KEPT = 64;
const SPAN = 2 ** 32;
const $ = id => document.getElementById(id);
const nonce = document.currentScript.nonce;
const { chunk, pictures, folder, cells } = JSON.parse($("data").textContent);

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

// A part is read from the page or from its file; a file calls medvlm(name, value). A part that is not there is empty.
const parts = new Map(), arriving = new Map();
window.medvlm = (name, value) => arriving.get(name)?.(value);
function read(name) {
  if (folder === null) {
    const node = document.querySelector(`script[data-part="${name}"]`);
    return Promise.resolve(node === null ? null : JSON.parse(node.textContent));
  }
  return new Promise(resolve => {
    const script = el("script", { src: `${folder}/${name}.js` });
    script.nonce = nonce;
    const done = value => { arriving.delete(name); script.remove(); resolve(value); };
    arriving.set(name, done);
    script.addEventListener("load", () => done(null));
    script.addEventListener("error", () => done(null));
    document.head.append(script);
  });
}
function part(name) {
  const value = parts.get(name) ?? read(name);
  parts.delete(name);
  parts.set(name, value);
  for (const old of parts.keys()) {
    if (parts.size <= KEPT) break;
    parts.delete(old);
  }
  return value;
}

const rows = async (cell, k) => await part(`c${cell}/${k}`) ?? [];
const sample = async (cell, index) => (await rows(cell, Math.floor(index / chunk))).find(s => s.index === index);
const outcomes = async cell => await part(`c${cell}/outcomes`) ?? "";
async function keys(cell, order) {
  const text = await part(`c${cell}/key${cells[cell].orders.indexOf(order)}`) ?? "";
  const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0)), view = new DataView(bytes.buffer);
  return index => 4 * index < bytes.length ? view.getFloat32(4 * index, true) : NaN;
}

const shown = value => value === null || value === undefined ? "missing" : Math.abs(value) < 10 ? value.toFixed(3) : value.toPrecision(5);
const NAMES = { c: "correct", w: "wrong", f: "failed", a: "answered" };
const outcome = s => s.error !== undefined ? "failed" : s.correct === true ? "correct" : s.correct === false ? "wrong" : "answered";
const confidence = s => s.probabilities.length ? Math.max(...s.probabilities) : NaN;
const colour = kind => kind === "correct" ? "good" : kind === "answered" ? "quiet" : "bad";
const words = (s, text) => s.withheld && !text ? "withheld" : text;
function loss(cell, s) {
  const p = s.probabilities[cells[cell].classes.indexOf(s.target)];
  return p === undefined ? NaN : -Math.log(Math.max(p, 1e-12));
}
const text = s => [s.id, s.patient, s.question, s.target, s.prediction, s.error, ...s.groups.map(([k, v]) => `${k}=${v}`)]
  .filter(Boolean).join("\n").toLowerCase();

// A sample is a number: its cell times SPAN plus its position in the split.
const cellOf = code => Math.floor(code / SPAN), indexOf = code => code % SPAN;
const state = { cell: cells.length ? "0" : "all", outcome: "all", order: "position", query: "", page: 0, list: [], pool: 0, work: 0 };
const pool = () => state.cell === "all" ? cells.map((_, i) => i) : [+state.cell];
const busy = on => $("rows").setAttribute("aria-busy", on);

function orders() {
  const known = new Set(pool().flatMap(cell => cells[cell].orders)), options = [["position", "as in the split"]];
  if (known.has("confidence")) options.push(["-confidence", "most confident first"], ["confidence", "least confident first"]);
  if (known.has("loss")) options.push(["-loss", "largest loss first"]);
  for (const name of known) if (name !== "confidence" && name !== "loss") options.push([name, `${name}, lowest first`]);
  return options;
}

async function* candidates(query) {
  for (const cell of pool()) {
    const letters = await outcomes(cell);
    if (!query) {
      for (let i = 0; i < letters.length; i++) if (letters[i] !== "-") yield [cell * SPAN + i, letters[i]];
      continue;
    }
    for (let k = 0; k * chunk < letters.length; k++) {
      for (const s of await rows(cell, k)) if (text(s).includes(query)) yield [cell * SPAN + s.index, letters[s.index]];
      if (folder !== null) $("status").textContent = `searching ${cells[cell].id}, ${Math.round(100 * k * chunk / letters.length)} %`;
    }
  }
}

// Everything from here on may be overtaken by another wish of the reader, which has the greater number.
async function select() {
  const work = ++state.work, query = state.query.trim().toLowerCase();
  busy(true);
  state.pool = 0;
  for (const cell of pool()) for (const letter of await outcomes(cell)) state.pool += letter !== "-";
  const counts = { all: 0, wrong: 0, failed: 0, correct: 0, answered: 0 };
  let list = [];
  for await (const [code, letter] of candidates(query)) {
    if (work !== state.work) return;
    counts.all++;
    counts[NAMES[letter]]++;
    if (state.outcome === "all" || state.outcome === NAMES[letter]) list.push(code);
  }
  if (state.order !== "position") {
    const down = state.order.startsWith("-"), order = state.order.replace(/^-/, "");
    const read = new Map();
    for (const cell of pool()) read.set(cell, await keys(cell, order));
    const rank = new Float64Array(list.length);
    list.forEach((code, i) => { rank[i] = (down ? -1 : 1) * read.get(cellOf(code))(indexOf(code)); });
    // What has no key comes last; ties keep the order of the split.
    const place = Uint32Array.from(list.keys()).sort((a, b) => isNaN(rank[a]) || isNaN(rank[b]) ? isNaN(rank[a]) - isNaN(rank[b]) || a - b : rank[a] - rank[b] || a - b);
    list = Array.from(place, i => list[i]);
  }
  if (work !== state.work) return;
  state.list = list;
  for (const button of $("outcomes").children) {
    button.setAttribute("aria-pressed", button.dataset.outcome === state.outcome);
    button.lastElementChild.textContent = counts[button.dataset.outcome].toLocaleString("en");
  }
  await draw(work);
}

async function picture(set, s, size) {
  const list = s.image ? await part(`p${set}/${Math.floor(s.index / pictures)}`) : null;
  const address = list?.[s.index % pictures];
  return address ? el("img", { src: address, alt: `image of sample ${s.id}`, width: size, height: size }) : el("span", { class: "blank" });
}

function meter(p) {
  const fill = el("i");
  fill.style.width = `${Math.max(0, Math.min(1, p)) * 100}%`;
  return el("span", { class: "meter", "aria-hidden": "true" }, fill);
}

async function row(code, at) {
  const number = cellOf(code), cell = cells[number], s = await sample(number, indexOf(code));
  if (s === undefined) return el("tr", {}, el("td", { colspan: 6, class: "bad" }, `${folder}/c${number} lacks sample ${indexOf(code)}`));
  const kind = outcome(s);
  return el("tr", { onclick: () => show(at) },
    el("td", { class: "picture" }, await picture(cell.set, s, 64)),
    el("th", { scope: "row" }, el("button", { type: "button", class: "link", "aria-haspopup": "dialog" }, s.id),
      s.patient !== undefined ? el("span", { class: "small" }, `patient ${s.patient}`) : null,
      state.cell === "all" ? el("span", { class: "small" }, `${cell.model}, ${cell.usage}`) : null,
      el("span", { class: "small" }, s.groups.map(([k, v]) => `${k} ${v}`).join(", "))),
    el("td", {}, s.question !== undefined ? el("span", { class: "small text" }, s.question) : null, el("span", { class: "text" }, words(s, s.target))),
    el("td", {}, el("span", { class: `text ${colour(kind)}` }, s.error ?? words(s, s.prediction))),
    el("td", {}, ...(isNaN(confidence(s)) ? [] : [meter(confidence(s)), shown(confidence(s))])),
    el("td", { class: colour(kind) }, kind));
}

async function draw(work) {
  const last = Math.max(0, Math.ceil(state.list.length / PAGE) - 1);
  state.page = Math.min(state.page, last);
  const from = state.page * PAGE, codes = state.list.slice(from, from + PAGE);
  const drawn = await Promise.all(codes.map((code, i) => row(code, from + i)));
  if (work !== state.work) return;
  $("rows").tBodies[0].replaceChildren(...drawn);
  $("status").textContent = `${state.list.length.toLocaleString("en")} of ${state.pool.toLocaleString("en")} samples`
    + (drawn.length && last ? `, ${from + 1} to ${from + drawn.length} shown` : "");
  $("place").textContent = `page ${state.page + 1} of ${last + 1}`;
  $("back").disabled = state.page === 0;
  $("forth").disabled = state.page === last;
  busy(false);
}

function table(head, rows) {
  return el("table", {}, el("thead", {}, el("tr", {}, ...head.map(h => el("th", { scope: "col" }, h)))),
    el("tbody", {}, ...rows.map(cells => el("tr", {}, ...cells.map(c => el("td", {}, c))))));
}

async function others(number, index) {
  const found = [];
  for (const [i, cell] of cells.entries()) {
    const s = i !== number && cell.set === cells[number].set ? await sample(i, index) : undefined;
    if (s) found.push([cell, s]);
  }
  return found;
}

async function show(at) {
  const work = state.work, number = cellOf(state.list[at]), cell = cells[number], s = await sample(number, indexOf(state.list[at]));
  if (s === undefined) return;
  const kind = outcome(s), l = loss(number, s), dialog = $("detail");
  const facts = [["question", s.question], ["target", words(s, s.target)], ["prediction", s.error === undefined ? words(s, s.prediction) : undefined],
    ["failure", s.error], ["outcome", kind], ["loss", isNaN(l) ? undefined : shown(l)], ["patient", s.patient],
    ...s.groups, ["position", `${s.index} in ${cell.name}`], ["cell", cell.id],
    ["files", `${cell.id}/predictions.jsonl and scores.jsonl, index ${s.index}`]].filter(([, value]) => value !== undefined);
  const step = (by, label) => el("button", { type: "button", onclick: () => show(at + by), disabled: at + by in state.list ? undefined : "" }, label);
  const percent = s.probabilities.map((p, i) => [cell.classes[i] ?? `class ${i}`, el("span", {}, meter(p), shown(p))]);
  const image = await picture(cell.set, s, 320);
  const rest = (await others(number, s.index)).map(([c, o]) => [`${c.model}, ${c.usage}`, o.error ?? words(o, o.prediction),
    el("span", { class: colour(outcome(o)) }, outcome(o)), isNaN(confidence(o)) ? "" : shown(confidence(o))]);
  if (work !== state.work) return;
  dialog.replaceChildren(
    el("div", { class: "bar" }, step(-1, "← previous"), step(1, "next →"), el("button", { type: "button", id: "close", onclick: () => dialog.close() }, "close")),
    el("h2", { id: "detail-title" }, s.id),
    el("div", { class: "columns" }, image, el("div", {},
      el("dl", {}, ...facts.flatMap(([k, v]) => [el("dt", {}, k), el("dd", { class: k === "outcome" ? colour(v) : k === "failure" ? "bad" : undefined }, v)])),
      ...(percent.length ? [el("h3", {}, "Probabilities"), table(["class", "probability"], percent)] : []),
      ...(s.scores.length ? [el("h3", {}, "Scores"), table(["score", "value"], s.scores.map(([name, value]) => [name, shown(value)]))] : []),
      ...(rest.length ? [el("h3", {}, "The same sample in other cells"), table(["cell", "prediction", "outcome", "confidence"], rest)] : []))));
  dialog.onkeydown = event => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by && at + by in state.list) show(at + by);
  };
  if (!dialog.open) dialog.showModal();
}

function fillOrders() {
  const options = orders();
  if (!options.some(([value]) => value === state.order)) state.order = "position";
  $("order").replaceChildren(...options.map(([value, label]) => el("option", { value }, label)));
  $("order").value = state.order;
}

const set = change => { Object.assign(state, { page: 0 }, change); select(); };
const turn = by => { state.page += by; busy(true); draw(++state.work); };
$("rows").tHead.append(el("tr", {}, ...["Image", "Sample", "Target", "Prediction", "Confidence", "Outcome"].map(h => el("th", { scope: "col" }, h))));
// Where samples lie beside the page, those of all cells together may be more than a browser can hold.
$("cell").append(...cells.map((c, i) => el("option", { value: i }, c.id)), folder === null ? el("option", { value: "all" }, "all cells") : "");
$("cell").value = state.cell;
$("cell").addEventListener("change", () => { state.cell = $("cell").value; fillOrders(); set(); });
$("order").addEventListener("change", () => set({ order: $("order").value }));
let typed;
$("search").addEventListener("input", () => { clearTimeout(typed); typed = setTimeout(() => set({ query: $("search").value }), folder === null ? 0 : 250); });
$("outcomes").addEventListener("click", event => {
  const button = event.target.closest("button");
  if (button) set({ outcome: button.dataset.outcome });
});
$("back").addEventListener("click", () => turn(-1));
$("forth").addEventListener("click", () => turn(1));
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

"use strict";
// All that comes from models and files is put into the page as text, never as HTML.

const at = (id) => document.getElementById(id);
const NAMES = { left: "回答甲", right: "回答乙" };
let ticket = null;
let busy = false;

function made(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

async function asked(path, body) {
  const options = body ? { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) } : {};
  const response = await fetch(path, options);
  const said = await response.json();
  if (!response.ok) throw Object.assign(new Error(said.error.message), { status: response.status });
  return said;
}

function problem(error) {
  at("problem").textContent = error ? `出了問題：${error.message}` : "";
  at("problem").hidden = !error;
}

function progress(done, total) {
  at("progress").hidden = false;
  at("count").textContent = `已投 ${done} / ${total}`;
  at("bar").style.width = `${(100 * done) / total}%`;
}

function answer(side, text) {
  const card = made("article", `card answer ${side}`);
  const head = made("h3");
  head.append(made("b", "", NAMES[side]), made("span", "who"));
  card.append(head, made("div", text.trim() ? "said" : "said nothing", text.trim() ? text : "（這個回答是空的）"));
  return card;
}

function show(pair) {
  const turns = pair.turns.map((question, turn) => {
    const row = made("div", "turn");
    const asked = made("div", "question");
    const which = pair.turns.length > 1 ? `第 ${turn + 1} 輪` : "問題";
    asked.append(made("small", "", pair.category && !turn ? `${which}　${pair.category}` : which), made("p", "", question));
    row.append(asked, answer("left", pair.left[turn]), answer("right", pair.right[turn]));
    return row;
  });
  at("talk").replaceChildren(...turns);
}

async function next() {
  problem(null);
  at("after").hidden = true;
  const pair = await asked("api/next");
  progress(pair.done, pair.total);
  ticket = pair.finished ? null : pair.ticket;
  at("finished").hidden = !pair.finished;
  at("choices").hidden = Boolean(pair.finished);
  if (pair.finished) at("talk").replaceChildren();
  else show(pair);
  window.scrollTo(0, 0);
}

async function vote(choice) {
  if (busy || !ticket) return;
  busy = true;
  try {
    const told = await asked("api/vote", { ticket, choice });
    ticket = null;
    problem(null);
    for (const side of ["left", "right"])
      for (const card of document.querySelectorAll(`.answer.${side}`)) {
        card.querySelector(".who").textContent = told[side];
        card.classList.toggle("chosen", choice === side);
      }
    progress(told.done, told.total);
    at("choices").hidden = true;
    at("after").hidden = false;
    at("thanks").textContent = "已存好您的一票。";
    at("next").focus();
  } catch (error) {
    if (error.status === 409) await next().catch(problem);
    problem(error);
  } finally {
    busy = false;
  }
}

function cell(tag, className, text) {
  return made(tag, className, text);
}

function plot(low, value, high, from, to) {
  const space = "http://www.w3.org/2000/svg";
  const x = (rating) => `${6 + (88 * (rating - from)) / (to - from || 1)}%`;
  const svg = document.createElementNS(space, "svg");
  const add = (tag, attributes, text) => {
    const node = document.createElementNS(space, tag);
    for (const [name, given] of Object.entries(attributes)) node.setAttribute(name, given);
    if (text) node.textContent = text;
    svg.append(node);
  };
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `${Math.round(low)} 到 ${Math.round(high)}`);
  add("line", { x1: x(1000), x2: x(1000), y1: 0, y2: 34, class: "mean" });
  add("line", { x1: x(low), x2: x(high), y1: 12, y2: 12 });
  add("circle", { cx: x(value), cy: 12, r: 6 });
  add("text", { x: x(low), y: 32, "text-anchor": "middle" }, String(Math.round(low)));
  add("text", { x: x(high), y: 32, "text-anchor": "middle" }, String(Math.round(high)));
  return svg;
}

function ranking(board) {
  const all = board.ratings;
  const from = Math.min(1000, ...all.map((one) => one.low));
  const to = Math.max(1000, ...all.map((one) => one.high));
  const rows = all.map((one) => {
    const row = made("tr");
    const chart = made("td", "plot");
    chart.append(plot(one.low, one.rating, one.high, from, to));
    const again = one.again ? one.again.map(Math.round).join(" – ") : "–";
    row.append(cell("td", "number", String(one.rank)), cell("th", "", one.name));
    row.append(cell("td", "number", String(Math.round(one.rating))), chart, cell("td", "number", again));
    for (const count of [one.wins, one.ties, one.losses]) row.append(cell("td", "number", String(count)));
    return row;
  });
  at("rows").replaceChildren(...rows);
  at("ranking").hidden = !all.length;
}

function matrix(board) {
  const met = new Map(board.met.map(([a, b, wins, games]) => [JSON.stringify([a, b]), [wins, games]]));
  const names = board.ratings.length ? board.ratings.map((one) => one.name) : board.models;
  const head = made("tr");
  head.append(made("th"), ...names.map((name) => cell("th", "number", name)));
  const rows = names.map((mine) => {
    const row = made("tr");
    row.append(cell("th", "", mine));
    for (const other of names) {
      const found = met.get(JSON.stringify([mine, other]));
      const shown = cell("td", "number", found ? `${Math.round((100 * found[0]) / found[1])} %` : "–");
      if (found) shown.append(made("small", "", `${found[1]} 票`));
      row.append(shown);
    }
    return row;
  });
  const top = made("thead");
  top.append(head);
  const body = made("tbody");
  body.append(...rows);
  at("matrix").replaceChildren(top, body);
  at("met").hidden = !board.votes;
}

function notices(board) {
  const told = [];
  if (board.why === "none") told.push("還沒有分出勝負的票，所以還沒有評分。");
  if (board.why === "prior")
    told.push("票數還少：有一方對其餘的模型全勝，或有模型還沒有碰過面。每個模型暫時多算對一個平均對手的 1 勝 1 負。");
  if (board.not_counted) told.push(`${board.not_counted} 票投的是別的模型，或後來改過的回答，沒有計入。`);
  if (board.damaged) told.push(`投票檔裡有 ${board.damaged} 行讀不懂，已另存一份，沒有計入。`);
  at("notice").textContent = told.join(" ");
  at("notice").hidden = !told.length;
}

async function board() {
  const found = await asked("api/board");
  const sides = found.left_wins + found.right_wins;
  const place = sides ? `；分出勝負的票裡，放在甲的勝 ${found.left_wins}、放在乙的勝 ${found.right_wins}` : "";
  at("summary").textContent =
    `${found.models.length} 個模型，${found.voters} 人在 ${found.questions} 個問題上投了 ${found.votes} 票` +
    `（兩個都不好 ${found.bad}）${place}。`;
  notices(found);
  ranking(found);
  matrix(found);
}

async function view() {
  const name = location.hash === "#board" ? "board" : "vote";
  for (const each of ["vote", "board"]) {
    at(each).hidden = each !== name;
    if (each === name) at(`to-${each}`).setAttribute("aria-current", "page");
    else at(`to-${each}`).removeAttribute("aria-current");
  }
  try {
    if (name === "board") await board();
    else if (!ticket) await next();
  } catch (error) {
    problem(error);
  }
}

for (const button of document.querySelectorAll("#choices button"))
  button.addEventListener("click", () => vote(button.dataset.choice));
at("next").addEventListener("click", () => next().catch(problem));
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || at("vote").hidden || at("choices").hidden) return;
  const choice = { 1: "left", 2: "right", 3: "tie", 4: "bad" }[event.key];
  if (choice) vote(choice);
});
window.addEventListener("hashchange", view);
view();

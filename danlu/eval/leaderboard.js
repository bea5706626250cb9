"use strict";
const board = document.getElementById("board");
const body = board.tBodies[0];
const collator = new Intl.Collator("zh-Hant-TW", { numeric: true });

function sort(head) {
  const column = head.cellIndex;
  const first = column === 0 || head.dataset.better === "lower" ? "ascending" : "descending";
  const second = first === "ascending" ? "descending" : "ascending";
  const way = head.getAttribute("aria-sort") === first ? second : first;
  for (const other of board.tHead.rows[0].cells) other.setAttribute("aria-sort", other === head ? way : "none");
  const sign = way === "ascending" ? 1 : -1;
  const value = (row) => parseFloat(row.cells[column].dataset.value);
  const rows = Array.from(body.rows);
  rows.sort((a, b) => {
    if (column === 0) return sign * collator.compare(a.dataset.name, b.dataset.name);
    const [x, y] = [value(a), value(b)];
    if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y);
    return sign * (x - y);
  });
  body.append(...rows);
}
for (const head of board.tHead.rows[0].cells) head.querySelector("button").addEventListener("click", () => sort(head));

const search = document.getElementById("search");
search.addEventListener("input", () => {
  const wanted = search.value.trim().toLowerCase();
  for (const row of body.rows) row.hidden = !row.dataset.name.toLowerCase().includes(wanted);
});

function toggle(button) {
  const on = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", String(on));
  return on;
}
for (const button of document.querySelectorAll("[data-show]")) {
  button.addEventListener("click", () => {
    const on = toggle(button);
    for (const part of document.querySelectorAll("[data-task]")) {
      if (part.dataset.task === button.dataset.show) part.hidden = !on;
    }
  });
}
for (const button of document.querySelectorAll("button[data-model]")) {
  button.addEventListener("click", () => {
    const on = toggle(button);
    for (const part of document.querySelectorAll("g[data-model]")) {
      if (part.dataset.model === button.dataset.model) part.style.display = on ? "" : "none";
    }
  });
}

"use strict";
(() => {
  const cards = [...document.querySelectorAll("article")];
  const facts = new Map(cards.map((card) => [card, JSON.parse(card.dataset.facts)]));
  const decided = new Map();
  const link = document.getElementById("download");
  let address = "";

  const show = () => {
    const lines = [...decided].map(([card, decision]) => JSON.stringify({ ...facts.get(card), decision }));
    document.getElementById("count").textContent = `${decided.size} / ${cards.length}`;
    if (address) URL.revokeObjectURL(address);
    address = URL.createObjectURL(new Blob(lines.map((line) => line + "\n"), { type: "application/x-ndjson" }));
    link.href = address;
    link.classList.toggle("off", decided.size === 0);
    for (const figure of document.querySelectorAll("[data-figure]")) {
      const mine = [...decided].filter(([card]) => facts.get(card).verdict === figure.dataset.figure);
      const right = figure.dataset.figure === "kept" ? "keep" : "drop";
      const agreed = mine.filter(([, decision]) => decision === right).length;
      figure.textContent = mine.length ? `Agreed: ${agreed} of ${mine.length}.` : "";
    }
  };

  const decide = (card, decision) => {
    if (decided.get(card) === decision) decided.delete(card);
    else decided.set(card, decision);
    for (const button of card.querySelectorAll("button")) {
      const on = decided.get(card) === button.dataset.decision;
      button.classList.toggle("on", on);
      button.setAttribute("aria-pressed", String(on));
    }
    show();
  };

  for (const card of cards)
    for (const button of card.querySelectorAll("button"))
      button.addEventListener("click", () => decide(card, button.dataset.decision));
  window.addEventListener("beforeunload", (event) => {
    if (decided.size && !link.dataset.saved) event.preventDefault();
  });
  link.addEventListener("click", () => { link.dataset.saved = "yes"; });
  show();
})();

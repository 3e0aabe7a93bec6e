// One pair at a time; the next comes when the server has the answer on its disk. Texts of a world are only ever text.
"use strict";
const find = (id) => document.getElementById(id);
const cards = [...document.querySelectorAll(".card")];
const tab = sessionStorage.getItem("tab") || Array.from(crypto.getRandomValues(new Uint8Array(8)), (x) => x.toString(16)).join("");
sessionStorage.setItem("tab", tab);
const KEYS = { ArrowLeft: "left", a: "left", 1: "left", ArrowRight: "right", b: "right", 2: "right", t: "tie", "=": "tie", s: "skip" };
const SETTLE = 180;  // ms in which a new pair takes no answer: a key that was pressed twice is no judgement
let state = null, since = 0, busy = false, over = false;

const trouble = (text) => {
  find("trouble").textContent = text;
  find("trouble").hidden = false;
};

const ask = async (what, values = {}) => {
  if (busy || over) return;
  busy = true;
  try {
    const reply = await fetch(`api/${what}`, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ tab, ...values }),
    });
    const said = await reply.json().catch(() => ({}));
    if (!reply.ok) trouble(`That answer is not saved: ${said.error || reply.statusText}`);
    else {
      find("trouble").hidden = true;
      if (what === "finish") finished(said.lines);
      else show(said);
    }
  } catch {
    trouble("The server has ended; what was answered before is saved. Run the same command again to go on.");
  } finally {
    busy = false;
    for (const each of document.querySelectorAll(".chosen, .both")) each.classList.remove("chosen", "both");
  }
};

const fit = () => {
  // Both boards alike, as large as the longest line allows; a letter of these fonts is 0.602 of its size wide.
  const boards = [...document.querySelectorAll(".board")];
  const sizes = boards.map((board) => {
    const longest = Math.max(...board.textContent.split("\n").map((line) => [...line.trimEnd()].length));
    return Math.floor((20 * board.parentElement.clientWidth) / (0.605 * longest)) / 20;
  });
  for (const board of boards) board.style.fontSize = `${Math.min(15, Math.max(6, Math.min(...sizes)))}px`;
};

const fill = (card, item) => {
  const words = document.createElement("bdi");
  words.textContent = item.text;
  const pictures = item.pictures.map((source, i) => {
    const image = document.createElement("img");
    image.src = source;
    image.alt = `Picture ${i + 1} of this observation`;
    // Small pictures of pixels are enlarged by a whole factor, where there is room.
    image.addEventListener("load", () => {
      const factor = Math.max(1, Math.floor(300 / image.naturalWidth));
      image.width = factor * image.naturalWidth;
      image.classList.toggle("pixels", factor > 1);
    });
    return image;
  });
  const strip = document.createElement("div");
  strip.className = "strip";
  strip.replaceChildren(...pictures);
  const seen = card.querySelector(".seen");
  seen.replaceChildren(...(pictures.length ? [strip] : []), words);
  seen.scrollTop = 0;
  words.classList.toggle("board", item.text.includes("\n"));
};

const show = (said) => {
  const fresh = !state || state.task?.key !== said.task?.key;
  state = said;
  find("count").textContent = `${said.done} of ${said.total}`;
  const bar = find("bar");
  bar.setAttribute("aria-valuenow", said.done);
  bar.setAttribute("aria-valuemax", said.total);
  bar.firstElementChild.style.width = `${(100 * said.done) / Math.max(1, said.total)}%`;
  find("notice").textContent = said.notice || "";
  find("undo").disabled = !said.undo;
  find("work").hidden = !said.task;
  find("end").hidden = Boolean(said.task);
  find("goal").textContent = said.goal;
  if (!said.task) {
    find("more").hidden = !said.left_over;
    find("back").hidden = !said.undo;
    return;
  }
  if (!fresh) return;
  fill(cards[0], said.task.left);
  fill(cards[1], said.task.right);
  fit();
  since = performance.now();
  find("pair").classList.remove("new");
  void find("pair").offsetWidth;  // so that the animation starts anew
  find("pair").classList.add("new");
  if (document.documentElement.clientWidth < 700) scrollTo(0, 0);
};

const finished = (lines) => {
  over = true;
  find("thanks").textContent = "Thank you.";
  find("told").textContent = "Every answer is saved and the server has ended; this window can be closed. More is in the terminal.";
  find("lines").replaceChildren(...lines.map(([name, value]) => {
    const row = document.createElement("div"), term = document.createElement("dt"), number = document.createElement("dd");
    term.textContent = name;
    number.textContent = value;
    row.replaceChildren(term, number);
    return row;
  }));
  document.querySelector(".acts").hidden = true;
};

const choose = (answer) => {
  if (busy || !state?.task || performance.now() - since < SETTLE) return;
  for (const each of document.querySelectorAll(`[data-answer="${answer}"]`)) each.classList.add("chosen");
  if (answer === "tie") find("pair").classList.add("both");
  ask("answer", { key: state.task.key, answer, seconds: (performance.now() - since) / 1000 });
};

for (const button of document.querySelectorAll("button[data-answer]")) {
  button.addEventListener("click", () => choose(button.dataset.answer));
}
for (const card of cards) {
  card.addEventListener("click", () => {
    if (getSelection().isCollapsed) choose(card.dataset.answer);  // who marks some of the text is still reading
  });
}
find("undo").addEventListener("click", () => ask("undo"));
find("back").addEventListener("click", () => ask("undo"));
find("more").addEventListener("click", () => ask("more"));
find("finish").addEventListener("click", () => ask("finish"));
addEventListener("keydown", (event) => {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const undoes = key === "u" || key === "Backspace" || (key === "z" && (event.ctrlKey || event.metaKey));
  if (event.repeat || event.altKey || ((event.ctrlKey || event.metaKey) && !undoes)) return;
  if (undoes) ask("undo");
  else if (KEYS[key]) choose(KEYS[key]);
  else return;
  event.preventDefault();
});
addEventListener("resize", fit);
ask("next");

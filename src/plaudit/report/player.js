// Steps through the recorded episodes: picture, words, and the cursor on every line. Without it the page is complete.
"use strict";
const data = JSON.parse(document.getElementById("episodes").textContent);
for (const hint of document.querySelectorAll(".script-only")) hint.hidden = false;

for (const figure of document.querySelectorAll(".episode")) {
  const steps = data.episodes[Number(figure.dataset.episode)];
  const find = (selector) => figure.querySelector(selector);
  const picture = find(".picture"), slider = find("input"), play = find(".play");
  const number = (value) => value.toFixed(2).replace("-", "−");
  const charts = [...figure.querySelectorAll(".chart")].map((chart) => ({
    chart, ends: chart.dataset.ends.split(" ").map(Number), now: chart.parentElement.querySelector(".now"),
    cursor: chart.querySelector(".cursor"), mark: chart.querySelector(".mark"),
  }));
  let timer = null;

  const show = (wanted) => {
    const at = Math.min(Math.max(Math.round(wanted), 0), steps.length - 1);
    const [, text, action, rewards] = steps[at];
    slider.value = at;
    find("output").textContent = `${at} of ${steps.length - 1}`;
    const done = document.createElement("b");
    done.textContent = at === 0 ? "start" : data.texts[action];
    const said = rewards.length > 1 || rewards[0] === null ? "" : `  (reward ${number(rewards[0])})`;
    const words = document.createElement("span");
    words.textContent = data.texts[text];
    find(".said").replaceChildren(done, " → ", words, said);
    find(".said").classList.toggle("block", words.textContent.includes("\n"));
    let near = at;
    while (near > 0 && steps[near][0] < 0) near--;
    if (picture && steps[near][0] >= 0) {
      picture.firstElementChild.src = data.frames[steps[near][0]];
      picture.firstElementChild.alt = `Picture of the world at step ${near}`;
      picture.classList.toggle("stale", near !== at);
    }
    charts.forEach(({ ends: [x0, x1, y0, y1, low, high], now, cursor, mark }, i) => {
      const x = x0 + (x1 - x0) * (at / Math.max(1, steps.length - 1)), reward = rewards[i];
      cursor.setAttribute("transform", `translate(${x} 0)`);
      mark.classList.toggle("on", reward !== null);
      if (now) now.textContent = reward === null ? "–" : number(reward);
      if (reward === null) return;
      mark.setAttribute("cx", x);
      mark.setAttribute("cy", y0 + (y1 - y0) * ((reward - low) / (high - low)));
    });
  };
  const stop = () => {
    clearInterval(timer);
    timer = null;
    play.textContent = "▶";
    play.setAttribute("aria-label", "Play");
  };
  const start = () => {
    if (Number(slider.value) >= steps.length - 1) show(0);
    timer = setInterval(() => {
      show(Number(slider.value) + 1);
      if (Number(slider.value) >= steps.length - 1) stop();
    }, Math.max(30, Math.min(250, 20000 / steps.length)));
    play.textContent = "❚❚";
    play.setAttribute("aria-label", "Pause");
  };

  play.addEventListener("click", () => (timer === null ? start() : stop()));
  slider.addEventListener("input", () => { stop(); show(Number(slider.value)); });
  for (const { chart, ends: [x0, x1] } of charts) {
    chart.addEventListener("click", (event) => {
      const box = chart.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * chart.viewBox.baseVal.width;
      stop();
      show(((x - x0) / (x1 - x0)) * (steps.length - 1));
    });
  }
  for (const still of figure.querySelectorAll(".film button")) {
    still.disabled = false;
    still.addEventListener("click", () => { stop(); show(Number(still.dataset.step)); });
  }
  figure.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (move === undefined || event.target === slider) return;  // the slider moves by itself
    event.preventDefault();
    stop();
    show(Number(slider.value) + move);
  });
  figure.classList.add("live");
  find(".controls").hidden = false;
  find(".said").hidden = false;
  show(0);
}

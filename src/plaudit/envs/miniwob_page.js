// Runs first in the tab and in every frame. The tab holds one frame for each copy of a task and steps all in one call; a
// frame gets a clock and a focus of its own, acts by events, and lists its elements. Started by envs/miniwob_browser.py.
//
// Clock: timers, animation frames and dates run on a time that passes only when a step lets it, so that an episode depends on
// its seed and its actions alone, and no page waits for a slow agent or punishes it.
// Focus: a browser has one focus for all frames; here each frame keeps its own, with the same events.
// Leaves out: pop-up lists of <select> (their options are listed), native drag and drop (no page uses it).
"use strict";
(() => {
  const STEP_MS = 1000; // what a step lets pass: the longest wait in a page, one of 0.6 s, ends within it
  const BEGIN = Date.UTC(2026, 0, 1, 12);
  const LONGEST = 240; // characters of one element's text

  if (window === window.top) tab();
  else frame();

  function tab() {
    const frames = [];
    const loaded = (f) => new Promise((done) => f.addEventListener("load", done, { once: true }));

    async function open(url, count, columns) {
      const waits = [];
      document.body.style.cssText = `margin:0;width:${160 * columns}px`;
      for (let i = 0; i < count; i++) {
        const box = document.createElement("div"), f = document.createElement("iframe");
        // The window of the package's browser, of which the task's 160 x 210 pixels are seen.
        box.style.cssText = "float:left;width:160px;height:210px;overflow:hidden";
        f.style.cssText = "border:0;width:500px;height:320px;display:block";
        f.scrolling = "no";
        f.src = url;
        frames.push(f);
        waits.push(loaded(f));
        box.append(f);
        document.body.append(box);
      }
      await Promise.all(waits);
      await Promise.all(frames.map((f) => f.contentWindow.plaudit.warm()));
    }

    const seen = (f) => Promise.all([...f.contentDocument.images].map((image) => image.decode().catch(() => {})));

    async function begin(f, seed, reload) {
      if (reload || !f.contentWindow.plaudit) {
        const wait = loaded(f);
        f.src = f.src;
        await wait;
        await f.contentWindow.plaudit.warm();
      }
      f.contentWindow.plaudit.begin(seed);
      await seen(f);
      return f.contentWindow.plaudit.state();
    }

    // One step: commands[i] is null or [kind, ...]; seeds[i] begins the next episode, when the step ends this one or
    // last[i] says so. Gives [state, state of the next episode or null] of each frame.
    async function step(commands, seeds, last, reload) {
      const made = frames.map((f, i) => {
        try {
          return commands[i] && f.contentWindow.plaudit.act(commands[i]);
        } catch (error) {
          return { lost: String(error) };
        }
      });
      return Promise.all(made.map(async (state, i) => {
        const over = seeds[i] !== null && (!state || state.lost || state.done || last[i]);
        return [state, over ? await begin(frames[i], seeds[i], reload) : null];
      }));
    }
    window.plaudit = { open, step };
  }

  function frame() {
    const clock = virtualClock(), focus = virtualFocus();
    let elements = [], pressed = null;

    window.plaudit = { warm, begin, act, state };

    // Pictures that style sheets name have no size before they are there: fetch them all, and hold them.
    const held = [];
    async function warm() {
      const urls = [...document.styleSheets].flatMap((sheet) => [...sheet.cssRules].flatMap((rule) => (
        [...rule.cssText.matchAll(/url\("([^"]+)"\)/g)].map((m) => new URL(m[1], sheet.href || location.href).href))));
      await Promise.all([...new Set(urls)].filter((url) => /\.(png|gif|jpe?g|svg)$/.test(url)).map((url) => {
        const image = new Image();
        held.push(image);
        image.src = url;
        return image.decode().catch(() => {});
      }));
    }

    function begin(seed) {
      core.EPISODE_MAX_TIME = 1e9;
      core.countdownTimer = () => {};
      core.endEpisode(0);
      // The page's own mark of the click that ended an episode bears the next one's number.
      for (const el of document.querySelectorAll("[data-tampered]")) delete el.dataset.tampered;
      focus.clear();
      Math.seedrandom(seed);
      core.setDataMode("train");
      core.startEpisodeReal();
      clock.advance(STEP_MS);
    }

    function act([kind, ...args]) {
      if (kind === "click") click(elements[args[0]]);
      else if (kind === "type") type(elements[args[0]], args[1]);
      else if (kind === "write") for (const letter of args[0]) key(letter);
      else if (kind === "key") key(args[0]);
      else if (kind === "drag") dragElements(elements[args[0]], elements[args[1]]);
      else if (kind === "click_at") { press(...args); release(...args); }
      else if (kind === "press_at") press(...args);
      else if (kind === "release_at") { glide(pressed, args); release(...args); }
      clock.advance(STEP_MS);
      return state();
    }

    function state() {
      if (WOB_DONE_GLOBAL) core.cover_div.style.display = "none";
      elements = [];
      const rows = [];
      list(document.body, rows, false);
      const told = core.getUtterance(); // a few pages give an object
      return { utterance: told.utterance ?? told, rows, done: WOB_DONE_GLOBAL, raw: WOB_RAW_REWARD_GLOBAL };
    }

    // ---- acting -------------------------------------------------------------------------------------------------------

    function centre(el) {
      const r = el.getBoundingClientRect();
      return [r.left + r.width / 2, r.top + r.height / 2];
    }

    function mouse(name, el, x, y, buttons) {
      const at = { clientX: x, clientY: y, screenX: x, screenY: y };
      return el.dispatchEvent(new MouseEvent(name, {
        bubbles: true, cancelable: true, composed: true, view: window, detail: 1, button: 0, buttons, ...at,
      }));
    }

    const under = (x, y) => document.elementFromPoint(x, y) || document.body;

    function press(x, y, el = under(x, y)) {
      for (const name of ["mouseover", "mousemove"]) mouse(name, el, x, y, 0);
      const goes = mouse("mousedown", el, x, y, 1);
      const selects = goes && getComputedStyle(el).userSelect !== "none" && !el.closest("button, input, select, textarea");
      if (selects) getSelection().removeAllRanges();
      if (goes) focus.move(el);
      pressed = { el, x, y, selects };
    }

    function release(x, y, el = under(x, y)) {
      mouse("mouseup", el, x, y, 0);
      if (pressed && el.isConnected && (pressed.el === el || el.contains(pressed.el))) mouse("click", el, x, y, 0);
      pressed = null;
    }

    function glide(from, [x, y]) {
      if (!from) return;
      for (let i = 1; i <= 8; i++) {
        const [a, b] = [from.x + ((x - from.x) * i) / 8, from.y + ((y - from.y) * i) / 8];
        mouse("mousemove", under(a, b), a, b, 1);
      }
      if (!from.selects) return;
      const first = document.caretRangeFromPoint(from.x, from.y), last = document.caretRangeFromPoint(x, y);
      if (first && last) {
        getSelection().setBaseAndExtent(first.startContainer, first.startOffset, last.startContainer, last.startOffset);
      }
    }

    function click(el) {
      if (el instanceof HTMLOptionElement) return choose(el);
      const [x, y] = centre(el);
      press(x, y, el);
      release(x, y, el);
    }

    function choose(option) {
      const list = option.closest("select");
      focus.move(list);
      option.selected = list.multiple ? !option.selected : true;
      for (const name of ["input", "change"]) list.dispatchEvent(new Event(name, { bubbles: true }));
      list.dispatchEvent(new MouseEvent("click", { bubbles: true }));
    }

    function dragElements(from, to) {
      const [x, y] = centre(from), [a, b] = centre(to);
      press(x, y, from);
      const selects = pressed.selects;
      pressed.selects = false;
      glide(pressed, [a, b]);
      if (selects) {
        const range = new Range();
        range.setStart(from, 0);
        range.setEnd(to, to.childNodes.length);
        getSelection().removeAllRanges();
        getSelection().addRange(range);
      }
      release(a, b, from === to ? from : under(a, b));
    }

    // ---- typing -------------------------------------------------------------------------------------------------------

    const CODES = { Backspace: 8, Tab: 9, Enter: 13, End: 35, Home: 36, ArrowLeft: 37, ArrowUp: 38, ArrowRight: 39, ArrowDown: 40 };
    const WRITTEN = "input:not([type=checkbox], [type=radio], [type=button], [type=submit]), textarea";

    function setValue(el, value) {
      const owner = el instanceof HTMLTextAreaElement ? HTMLTextAreaElement : HTMLInputElement;
      Object.getOwnPropertyDescriptor(owner.prototype, "value").set.call(el, value);
      el.dispatchEvent(new InputEvent("input", { bubbles: true, inputType: "insertText" }));
    }

    function type(el, text) {
      if (document.activeElement !== el) click(el);
      if (el.type === "date" || el.type === "time") return setValue(el, plain(el.type, text));
      if (el.matches(WRITTEN) && el.value && !el.readOnly) setValue(el, "");
      else if (el.isContentEditable) el.textContent = "";
      for (const letter of text) key(letter);
    }

    // Browsers let one type 03/31/2016 or 4:05 PM, and keep 2016-03-31 and 16:05.
    function plain(kind, text) {
      const [a, b, c] = text.match(/\d+/g) || [];
      if (kind === "date") return `${c}-${a?.padStart(2, "0")}-${b?.padStart(2, "0")}`;
      return `${String((a % 12) + (/p/i.test(text) ? 12 : 0)).padStart(2, "0")}:${b?.padStart(2, "0")}`;
    }

    function key(name) {
      const el = document.activeElement, letter = name.length === 1, code = CODES[name] || name.toUpperCase().charCodeAt(0);
      const send = (event, number) => el.dispatchEvent(new KeyboardEvent(event, {
        bubbles: true, cancelable: true, key: name, keyCode: number, which: number, charCode: event === "keypress" ? number : 0,
      }));
      let goes = send("keydown", code);
      if (goes && (letter || name === "Enter")) goes = send("keypress", letter ? name.charCodeAt(0) : 13);
      if (goes) whatKeyDoes(el, name, letter);
      el.dispatchEvent(new KeyboardEvent("keyup", { bubbles: true, key: name, keyCode: code, which: code }));
    }

    function whatKeyDoes(el, name, letter) {
      const area = el instanceof HTMLTextAreaElement;
      if (name === "Home" || name === "End") el.scrollTop = name === "Home" ? 0 : el.scrollHeight;
      else if (el.isContentEditable && letter) el.textContent += name;
      else if (el.matches("select") && name.startsWith("Arrow")) {
        el.selectedIndex = Math.max(0, Math.min(el.length - 1, el.selectedIndex + (/Up|Left/.test(name) ? -1 : 1)));
        for (const event of ["input", "change"]) el.dispatchEvent(new Event(event, { bubbles: true }));
      } else if (!el.matches(WRITTEN) || el.readOnly || el.disabled) return;
      else if (letter || (area && name === "Enter")) setValue(el, el.value + (letter ? name : "\n"));
      else if (name === "Backspace") setValue(el, el.value.slice(0, -1));
    }

    // ---- listing ------------------------------------------------------------------------------------------------------

    const OURS = new Set(["query", "reward-display", "sync-task-cover", "click-canvas", "attention-canvas"]);
    const UNSEEN = new Set(["SCRIPT", "STYLE", "BR", "defs", "clipPath"]);

    function list(el, rows, named) {
      if (OURS.has(el.id) || UNSEEN.has(el.tagName)) return;
      if (!el.checkVisibility({ visibilityProperty: true })) return;
      const role = roleOf(el, named);
      if (role) add(el, role, rows);
      if (role && !"text svg".includes(role)) return;
      const labels = el.tagName === "LABEL" && el.control;
      const before = rows.length;
      for (const child of el.children) list(child, rows, named || labels);
      if (!role && rows.length === before && el !== document.body && painted(el)) add(el, "icon", rows);
    }

    function add(el, role, rows) {
      const r = el.getBoundingClientRect();
      if ((r.width === 0 && r.height === 0) || r.right < 0 || r.bottom < 0) return;
      push(el, role, nameOf(el, role), r, rows);
      if (role !== "list") return;
      for (const option of el.options) push(option, "option", option.text.trim(), r, rows);
    }

    function push(el, role, name, r, rows) {
      const shown = /^(text field|text area|password field|list)$/.test(role);
      const value = role === "list" ? el.selectedOptions[0]?.text ?? "" : shown ? el.value ?? el.innerText : "";
      const flags = (document.activeElement === el) | ((el.checked || (role === "option" && el.selected)) << 1)
        | ((el.dataset?.tampered === "e" + WOB_EPISODE_ID) << 2) | (!!el.disabled << 3);
      elements.push(el);
      rows.push([role, name.replace(/\s+/g, " ").trim().slice(0, LONGEST), value.slice(0, 2 * LONGEST), flags,
        Math.round(r.left), Math.round(r.top), Math.round(r.width), Math.round(r.height)]);
    }

    function ownText(el) {
      let text = "";
      for (let node = el.firstChild; node; node = node.nextSibling) if (node.nodeType === 3) text += " " + node.data;
      return text.trim();
    }

    const FIXED = { BUTTON: "button", A: "link", TEXTAREA: "text area", SELECT: "list", IMG: "image", CANVAS: "canvas" };

    function roleOf(el, named) {
      if (el instanceof SVGElement) {
        if (el.tagName === "text") return el.textContent.trim() ? "label" : "";
        return /^(rect|circle|ellipse|polygon|polyline|path|line|image)$/.test(el.tagName) ? "shape" : "";
      }
      if (el.tagName === "INPUT") {
        const kinds = { checkbox: "checkbox", radio: "radio", button: "button", submit: "button", range: "slider",
          password: "password field", hidden: "" };
        return kinds[el.type] ?? "text field";
      }
      if (FIXED[el.tagName]) return FIXED[el.tagName];
      if (el.isContentEditable && !el.parentElement.isContentEditable) return "text area";
      if (el.tagName === "LABEL" && el.control && el.control.checkVisibility()) return "";
      if (ownText(el)) return named ? "" : "text";
      return "";
    }

    // Something without a text that can be seen or clicked.
    function painted(el) {
      const style = getComputedStyle(el), r = el.getBoundingClientRect();
      const shows = (!el.childElementCount && style.backgroundColor !== "rgba(0, 0, 0, 0)") || style.backgroundImage !== "none"
        || style.content.startsWith("url") || style.cursor === "pointer" || el.onclick || el.__onclick
        || (window.jQuery && Object.keys(jQuery._data(el, "events") || {}).length);
      const noise = el.matches(".ui-dialog-title, .ui-dialog .ui-resizable-handle");
      return shows && !noise && r.width >= 3 && r.height >= 3;
    }

    function nameOf(el, role) {
      if (role === "shape") return shapeName(el);
      if (role === "text") return ownText(el);
      if (role === "button" || role === "link" || role === "label") {
        return el.textContent.trim() || el.value || el.title || el.className.toString() || el.id;
      }
      if (role === "icon") {
        const colour = getComputedStyle(el).backgroundColor;
        const classes = el.classList.contains("ui-resizable-handle") ? "resize handle"
          : [...el.classList].filter((c) => !/^ui-(corner|state|widget)/.test(c)).join(" ");
        return [el.title || el.id || classes, colour === "rgba(0, 0, 0, 0)" ? "" : colourName(colour)].join(" ");
      }
      if (role === "image") return el.alt || el.src.split("/").pop();
      const label = el.labels && [...el.labels].map((l) => l.textContent).join(" ").trim();
      const before = el.previousElementSibling;
      return label || el.placeholder || (before && /^(LABEL|P|SPAN|B)$/.test(before.tagName) && before.textContent.trim()) || el.id || el.className;
    }

    function shapeName(el) {
      const style = getComputedStyle(el), fill = style.fill, paint = fill === "none" ? style.stroke : fill;
      const kind = { rect: "rectangle", polygon: el.points?.numberOfItems === 3 ? "triangle" : "polygon" }[el.tagName] || el.tagName;
      return `${colourName(paint)} ${kind}`;
    }

    function colourName(colour) {
      const names = { "0,0,0": "black", "255,255,255": "white", "255,0,0": "red", "0,128,0": "green", "0,255,0": "lime",
        "0,0,255": "blue", "255,255,0": "yellow", "255,165,0": "orange", "128,0,128": "purple", "255,192,203": "pink",
        "165,42,42": "brown", "128,128,128": "grey", "0,255,255": "aqua", "255,0,255": "magenta", "211,211,211": "light grey" };
      const parts = (colour.match(/\d+/g) || []).slice(0, 3);
      return names[parts.join(",")] || (parts.length ? "#" + parts.map((p) => (+p).toString(16).padStart(2, "0")).join("") : "");
    }

    // ---- clock and focus ----------------------------------------------------------------------------------------------

    function virtualClock() {
      const RealDate = Date, timers = new Map();
      let now = BEGIN, number = 0;
      const add = (run, wait, every) => (timers.set(++number, { run, at: now + Math.max(1, +wait || 0), every }), number);
      const wrap = (f, args) => (typeof f === "function" ? () => f(...args) : () => (0, eval)(f));
      const remove = (id) => void timers.delete(id);
      window.setTimeout = (f, wait, ...args) => add(wrap(f, args), wait, 0);
      window.setInterval = (f, wait, ...args) => add(wrap(f, args), wait, Math.max(4, +wait || 0));
      window.requestAnimationFrame = (f) => add(() => f(now - BEGIN), 50, 0);
      window.clearTimeout = window.clearInterval = window.cancelAnimationFrame = remove;
      performance.now = () => now - BEGIN;
      const Fake = function (...args) {
        if (!new.target) return new RealDate(now).toString();
        return args.length ? new RealDate(...args) : new RealDate(now);
      };
      Fake.prototype = RealDate.prototype;
      Object.assign(Fake, { now: () => now, parse: RealDate.parse, UTC: RealDate.UTC });
      window.Date = Fake;

      function advance(ms) {
        const end = now + ms;
        for (let guard = 0; guard < 2000; guard++) {
          let id = 0, due = null;
          for (const [key, timer] of timers) if (timer.at <= end && (!due || timer.at < due.at)) [id, due] = [key, timer];
          if (!due) break;
          now = Math.max(now, due.at);
          if (due.every) due.at = now + due.every;
          else timers.delete(id);
          try {
            due.run();
          } catch (error) {
            console.error(error);
          }
        }
        now = end;
      }
      return { advance };
    }

    function virtualFocus() {
      let active = null, before = "";
      const able = "input, textarea, select, button, a[href], [tabindex], [contenteditable=true]";
      const tell = (el, names) => names.forEach((n) => el.dispatchEvent(new FocusEvent(n, { bubbles: n.length > 5 })));
      Object.defineProperty(Document.prototype, "activeElement", {
        configurable: true, get() { return active && active.isConnected ? active : this.body; },
      });
      Document.prototype.hasFocus = () => true;
      HTMLElement.prototype.focus = function () { set(this); };
      HTMLElement.prototype.blur = function () { if (active === this) leave(); };

      function leave() {
        const old = active;
        active = null;
        if (!old || !old.isConnected) return;
        if ("value" in old && old.value !== before && old.matches("input, textarea")) old.dispatchEvent(new Event("change", { bubbles: true }));
        tell(old, ["blur", "focusout"]);
      }
      function set(el) {
        if (el === active || !el.matches(able) || el.disabled) return;
        leave();
        active = el;
        before = el.value;
        tell(el, ["focus", "focusin"]);
      }
      function move(el) {
        const label = el.closest?.("label"), to = el.closest?.(able) || (label && label.control);
        if (to) set(to);
        else leave();
      }
      return { move, clear() { active = null; } };
    }
  }
})();

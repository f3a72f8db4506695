// Tidemill's pages: theme, charts, copy buttons, actions, live runs, "try it". No framework, nothing from outside.
(() => {
  "use strict";
  const root = document.documentElement;
  const stored = () => { try { return localStorage.getItem("tidemill-theme"); } catch { return null; } };
  if (stored() === "light" || stored() === "dark") root.dataset.theme = stored();

  let words = {};
  const $ = (selector, within = document) => within.querySelector(selector);
  const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];
  const make = (name, attributes = {}, ...children) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (value !== undefined && value !== null) element.setAttribute(key, value);
    }
    element.append(...children);
    return element;
  };
  const fill = (text, values) => (text || "").replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);

  let quiet;
  function say(text) {
    const status = $("#status");
    if (!status) return;
    status.textContent = text;
    clearTimeout(quiet);
    quiet = setTimeout(() => { status.textContent = ""; }, 6000);
  }

  // ---- theme
  function theme() {
    const button = $("#theme");
    if (!button) return;
    button.hidden = false;
    const dark = () => root.dataset.theme === "dark"
      || (root.dataset.theme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
    const show = () => button.setAttribute("aria-pressed", String(dark()));
    show();
    button.addEventListener("click", () => {
      root.dataset.theme = dark() ? "light" : "dark";
      try { localStorage.setItem("tidemill-theme", root.dataset.theme); } catch { /* private window */ }
      show();
      drawAll();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { show(); drawAll(); });
  }

  // ---- times in the reader's time zone
  function times() {
    for (const element of $$("time[datetime]")) {
      const when = new Date(element.dateTime);
      if (Number.isNaN(when.getTime())) continue;
      element.title = element.dateTime;
      element.textContent = when.toLocaleString(root.lang, { dateStyle: "medium", timeStyle: "short" });
    }
  }

  // ---- charts
  const probe = make("span", { hidden: "" });
  const colors = new Map();
  function color(name) {
    if (!colors.has(name)) {
      probe.style.color = name;
      colors.set(name, getComputedStyle(probe).color);
    }
    return colors.get(name);
  }
  // Colours stand in the JSON as `var(--name)`; Plotly wants real ones.
  function resolve(value) {
    if (typeof value === "string") return /^var\(--[\w-]+\)$/.test(value) ? color(value) : value;
    if (Array.isArray(value)) return value.map(resolve);
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, resolve(inner)]));
    }
    return value;
  }
  function dress(layout, width) {
    const font = { family: getComputedStyle(document.body).fontFamily, size: 12, color: color("var(--text)") };
    const grid = color("var(--chart-grid)");
    const dressed = {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font, dragmode: false, hovermode: "closest",
      margin: { l: 52, r: 14, t: 10, b: 44 }, autosize: true,
      legend: { orientation: "h", x: 0, y: -0.2, yanchor: "top", font: { ...font, size: width < 420 ? 11 : 12 } },
      hoverlabel: { font: { ...font, color: color("var(--back)") }, bgcolor: color("var(--text)"), bordercolor: color("var(--text)") },
      ...layout,
    };
    for (const name of Object.keys(dressed).filter((key) => /^[xy]axis/.test(key))) {
      dressed[name] = {
        gridcolor: grid, linecolor: color("var(--line-strong)"), zerolinecolor: color("var(--line-strong)"),
        tickfont: { ...font, size: 11 }, ...dressed[name],
      };
      if (dressed[name].title) dressed[name].title = { standoff: 8, ...dressed[name].title };
    }
    return dressed;
  }
  const charts = [];
  function draw(chart) {
    const { data, layout } = resolve(chart.json);
    const config = { displayModeBar: false, responsive: true, scrollZoom: false, doubleClick: false, typesetMath: false };
    Plotly.react(chart.place, data, dress(layout || {}, chart.place.clientWidth), config);
  }
  function drawAll() {
    colors.clear();
    for (const chart of charts) draw(chart);
  }
  function readCharts() {
    for (const figure of $$("figure.chart")) {
      const json = JSON.parse($("script.chart-data", figure).textContent);
      const place = $(".plot", figure);
      if (!window.Plotly) {
        place.classList.add("none");
        place.textContent = words.noChart || "";
        continue;
      }
      charts.push({ figure, place, json, live: figure.dataset.live });
    }
    drawAll();
  }

  // ---- copy
  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Without https or localhost there is no clipboard to write to.
      const area = make("textarea", { class: "hidden", "aria-hidden": "true" });
      area.value = text;
      document.body.append(area);
      area.select();
      const copied = document.execCommand("copy");
      area.remove();
      if (!copied) throw new Error("copy");
    }
  }
  function copyButtons() {
    for (const button of $$("button[data-copy]")) {
      button.addEventListener("click", async () => {
        try {
          await copy($(button.dataset.copy).textContent);
          say(words.copied);
        } catch { say(words.copyFailed); }
      });
    }
  }

  // ---- actions: forms that post to the API
  async function ask(address, options) {
    let response;
    try { response = await fetch(address, options); } catch { throw new Error(words.unreachable); }
    let body = null;
    try { body = await response.json(); } catch { /* not JSON */ }
    if (!response.ok) {
      const reason = body && (typeof body.error === "string" ? body.error : body.error && body.error.message);
      throw new Error(reason || fill(words.failed, { status: response.status }));
    }
    return body || {};
  }
  function actions() {
    for (const form of $$("form[data-action]")) {
      form.addEventListener("submit", async (event) => {
        event.preventDefault();
        const button = $("button", form);
        button.disabled = true;
        say(words.sending);
        try {
          const body = await ask(form.action, {
            method: "POST", headers: { "content-type": "application/json", accept: "application/json" },
            body: form.dataset.body || "{}",
          });
          say(words.done);
          if (form.dataset.action === "train" && body.run !== undefined) {
            location.assign(`/runs/${encodeURIComponent(body.run)}`);
          } else {
            location.reload();
          }
        } catch (error) {
          button.disabled = false;
          say(error.message);
        }
      });
    }
  }

  // ---- a run that still runs
  function liveRun() {
    const page = $("[data-run]");
    if (!page || page.dataset.state !== "running") return;
    let after = Number(page.dataset.after) || 0;
    let misses = 0;
    const news = $("#news");
    const show = (name, text) => { for (const place of $$(`[data-show="${name}"]`)) place.textContent = text; };
    const figure = (value) => (typeof value === "number" ? Number(value.toPrecision(4)).toString() : "–");
    function add(record) {
      after = record.epoch;
      for (const chart of charts.filter((entry) => entry.live)) {
        chart.live.split(" ").forEach((field, place) => {
          const trace = chart.json.data[place];
          if (!trace || (field === "best" && !record.best)) return;
          const value = field === "best" ? record.validation_metric : record[field];
          if (field === "best") { trace.x = []; trace.y = []; }
          trace.x.push(record.epoch);
          trace.y.push(value ?? null);
        });
        const row = make("tr", {}, make("th", { scope: "row" }, String(record.epoch)));
        for (const field of chart.live.split(" ").filter((name) => name !== "best")) {
          row.append(make("td", { class: "num" }, figure(record[field])));
        }
        $("tbody", chart.figure).append(row);
      }
      show("epoch", String(record.epoch));
      show("validation", figure(record.validation_metric));
      show("loss", figure(record.train_loss));
      if (record.best) show("best", figure(record.validation_metric));
      const bar = $("#progress");
      if (bar) bar.value = record.epoch;
    }
    async function look() {
      let wait = 1000;
      try {
        const body = await ask(`/api/runs/${encodeURIComponent(page.dataset.run)}?after=${after}`, {
          headers: { accept: "application/json" },
        });
        misses = 0;
        const fresh = (body.epochs || []).map((entry) => entry.record).filter((record) => record.epoch > after);
        fresh.forEach(add);
        if (fresh.length) {
          // What was said of the charts was said of fewer epochs.
          for (const chart of charts.filter((entry) => entry.live)) $(".summary", chart.figure).hidden = true;
          for (const chart of charts.filter((entry) => entry.live)) draw(chart);
          const last = fresh[fresh.length - 1];
          news.textContent = fill(words.epoch, {
            epoch: last.epoch, loss: figure(last.train_loss), metric: last.metric, value: figure(last.validation_metric),
          }) + (last.best ? ` ${words.best}` : "");
          for (const chart of charts.filter((entry) => entry.live)) chart.place.setAttribute("aria-label", news.textContent);
        }
        const { status, why, version } = body.run;
        if (status !== "running") {
          page.dataset.state = status;
          news.textContent = { succeeded: fill(words.succeeded, { version }), failed: fill(words.runFailed, { reason: why || "" }) }[status]
            || words.stopped;
          show("status", { succeeded: words.statusSucceeded, failed: words.statusFailed }[status] || words.statusStopped);
          for (const later of $$("[data-after-run]")) later.hidden = false;
          return;
        }
      } catch (error) {
        misses += 1;
        wait = Math.min(30000, 1000 * 2 ** misses);
        if (misses === 3) news.textContent = error.message;
      }
      setTimeout(look, wait);
    }
    look();
  }

  // ---- try it
  // The drawing: white on black, cut out by its bounding box, scaled to `fill` of the model's picture, centred.
  function shrink(pad, width, height, share) {
    const pixels = pad.getContext("2d").getImageData(0, 0, pad.width, pad.height);
    let [left, top, right, bottom] = [pad.width, pad.height, -1, -1];
    for (let y = 0; y < pad.height; y += 1) {
      for (let x = 0; x < pad.width; x += 1) {
        if (pixels.data[(y * pad.width + x) * 4] > 30) {
          left = Math.min(left, x); right = Math.max(right, x); top = Math.min(top, y); bottom = Math.max(bottom, y);
        }
      }
    }
    if (right < 0) return null;
    const [wide, high] = [right - left + 1, bottom - top + 1];
    const scale = Math.min((share * width) / wide, (share * height) / high);
    // Eight times the size first, then the mean of each 8x8 block: one step alone would lose thin lines.
    const fine = 8;
    const large = make("canvas");
    large.width = width * fine;
    large.height = height * fine;
    const context = large.getContext("2d", { willReadFrequently: true });
    context.fillStyle = "#000";
    context.fillRect(0, 0, large.width, large.height);
    context.imageSmoothingQuality = "high";
    const [w, h] = [wide * scale * fine, high * scale * fine];
    context.drawImage(pad, left, top, wide, high, (large.width - w) / 2, (large.height - h) / 2, w, h);
    const source = context.getImageData(0, 0, large.width, large.height).data;
    const grey = new Array(width * height).fill(0);
    for (let y = 0; y < large.height; y += 1) {
      for (let x = 0; x < large.width; x += 1) {
        grey[Math.floor(y / fine) * width + Math.floor(x / fine)] += source[(y * large.width + x) * 4];
      }
    }
    // The brightest pixel is white, as it is in the sets: a thin line between two pixels is not half as certain.
    const most = Math.max(...grey);
    return grey.map((sum) => Math.round((255 * sum) / most));
  }
  function picture(field, changed) {
    const pad = $("canvas.pad", field);
    const preview = $(".preview", field);
    const file = $('input[type="file"]', field);
    const [width, height, channels] = [Number(field.dataset.width), Number(field.dataset.height), Number(field.dataset.channels)];
    const share = Number(field.dataset.fill);
    const context = pad.getContext("2d", { willReadFrequently: true });
    const state = { value: null };
    let last = null;
    let inked = false;
    const wipe = () => { context.fillStyle = "#000"; context.fillRect(0, 0, pad.width, pad.height); inked = false; };
    const show = (grey) => {
      const small = make("canvas");
      small.width = width; small.height = height;
      const image = small.getContext("2d").createImageData(width, height);
      grey.forEach((value, place) => image.data.set([value, value, value, 255], place * 4));
      small.getContext("2d").putImageData(image, 0, 0);
      preview.src = small.toDataURL("image/png");
      preview.hidden = false;
    };
    const at = (event) => {
      const box = pad.getBoundingClientRect();
      return [(event.clientX - box.left) * (pad.width / box.width), (event.clientY - box.top) * (pad.height / box.height)];
    };
    const stroke = (event) => {
      const now = at(event);
      context.strokeStyle = "#fff"; context.lineWidth = share < 1 ? 26 : 34; context.lineCap = "round"; context.lineJoin = "round";
      context.beginPath();
      context.moveTo(...(last || now));
      context.lineTo(now[0] + 0.01, now[1]);
      context.stroke();
      last = now;
      inked = true;
    };
    const finish = () => {
      if (!last) return;
      last = null;
      const grey = shrink(pad, width, height, share);
      if (!grey) return;
      state.value = channels === 1 ? grey : grey.flatMap((value) => new Array(channels).fill(value));
      file.value = "";
      show(grey);
      changed(true);
    };
    pad.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      if (!inked) wipe();
      try { pad.setPointerCapture(event.pointerId); } catch { /* a pointer made by a script has no capture */ }
      stroke(event);
    });
    pad.addEventListener("pointermove", (event) => {
      if (!last) return;
      const steps = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
      for (const step of steps.length ? steps : [event]) stroke(step);
    });
    pad.addEventListener("pointerup", finish);
    pad.addEventListener("pointercancel", finish);
    const take = (address) => { wipe(); state.value = address; preview.src = address; preview.hidden = false; changed(true); };
    file.addEventListener("change", () => {
      if (!file.files.length) return;
      const reader = new FileReader();
      reader.addEventListener("load", () => take(reader.result));
      reader.addEventListener("error", () => say(words.pickFailed));
      reader.readAsDataURL(file.files[0]);
    });
    for (const button of $$("button[data-sample]", field)) {
      button.addEventListener("click", () => { file.value = ""; take($("img", button).src); say(words.chosen); });
    }
    $("button[data-clear]", field).addEventListener("click", () => {
      wipe();
      state.value = null;
      file.value = "";
      preview.hidden = true;
      changed(false);
      say(words.cleared);
    });
    wipe();
    return state;
  }
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  // Numbers with commas or blanks between them; null for what is no number.
  const series = (text) => text.split(/[\s,;]+/).filter((part) => part !== "").map((part) => (Number.isFinite(Number(part)) ? Number(part) : null));
  function tryIt() {
    const form = $("#try-form");
    if (!form) return;
    const pictures = new Map();
    const command = $("#try-command");
    const address = `/predict/${encodeURIComponent(form.dataset.endpoint)}`;
    let started = false;
    let turn = 0;
    const read = () => {
      const input = {};
      for (const field of $$("[data-column]", form)) {
        const name = field.dataset.column;
        const control = $("[data-value]", field);
        switch (field.dataset.kind) {
          case "image": input[name] = pictures.get(field).value; break;
          case "boolean": input[name] = control.checked; break;
          case "number": input[name] = control.value.trim() === "" ? null : Number(control.value); break;
          case "series": input[name] = series(control.value); break;
          default: input[name] = control.value === "" ? null : control.value;
        }
      }
      return { input, proba: true };
    };
    const showCommand = () => {
      command.textContent = `curl -s ${location.origin}${address} -H 'content-type: application/json' -d ${quoted(JSON.stringify(read()))}`;
    };
    const changed = (send) => { showCommand(); if (send) ask_(); };
    async function ask_() {
      if (!started || !form.reportValidity()) return;
      const body = read();
      if ($$('[data-kind="image"]', form).some((field) => pictures.get(field).value === null)) {
        say(words.drawFirst);
        return;
      }
      const mine = (turn += 1);
      const place = $("#answer");
      try {
        const began = performance.now();
        const answer = await ask(address, {
          method: "POST", headers: { "content-type": "application/json", accept: "application/json" }, body: JSON.stringify(body),
        });
        if (mine === turn) showAnswer(place, answer, performance.now() - began);
      } catch (error) {
        if (mine === turn) place.replaceChildren(make("p", { class: "notice bad" }, error.message));
      }
    }
    for (const field of $$('[data-kind="image"]', form)) pictures.set(field, picture(field, changed));
    form.addEventListener("input", showCommand);
    form.addEventListener("submit", (event) => { event.preventDefault(); ask_(); });
    showCommand();
    started = true;
  }
  const first = (value) => (Array.isArray(value) ? value[0] : value);
  // `{"prediction": [..], "confidence": [..], "confident": [..], "threshold", "probabilities": [{class: share}], "model", "version"}`
  function shares(answer) {
    const row = first(answer.probabilities);
    if (row === undefined || row === null) return [];
    return Object.entries(row);
  }
  function showAnswer(place, answer, milliseconds) {
    const prediction = first(answer.prediction);
    const text = typeof prediction === "number" && !Number.isInteger(prediction)
      ? String(Number(prediction.toPrecision(6))) : String(prediction);
    const parts = [make("p", { class: "muted small" }, words.answer), make("p", { class: "big" }, text)];
    const facts = [];
    const percent = (share) => `${(share * 100).toFixed(1)} %`;
    const confidence = first(answer.confidence);
    if (typeof confidence === "number") facts.push(`${words.confidence} ${percent(confidence)}`);
    const threshold = first(answer.threshold);
    if (typeof threshold === "number") facts.push(`${words.threshold} ${threshold}`);
    facts.push(fill(words.milliseconds, { ms: milliseconds.toFixed(milliseconds < 10 ? 1 : 0) }));
    parts.push(make("p", { class: "muted" }, facts.join(" · ")));
    if (first(answer.confident) === false) parts.push(make("p", { class: "notice warn" }, words.notConfident));
    const list = shares(answer).sort((a, b) => b[1] - a[1]).slice(0, 20);
    if (list.length) {
      const bars = make("ul", { class: "bars", "aria-label": words.probabilities });
      for (const [name, share] of list) {
        const bar = make("span");
        bar.style.width = `${Math.max(0.3, share * 100)}%`;
        bars.append(make("li", { class: name === String(prediction) ? "chosen" : null },
          make("span", { class: "name" }, name), make("span", { class: "part", "aria-hidden": "true" }, bar),
          make("span", { class: "figure" }, percent(share))));
      }
      parts.push(bars);
    }
    place.replaceChildren(...parts);
  }

  document.addEventListener("DOMContentLoaded", () => {
    const block = $("#words");
    if (block) words = JSON.parse(block.textContent);
    document.body.append(probe);
    theme();
    times();
    copyButtons();
    actions();
    readCharts();
    liveRun();
    tryIt();
  });
})();

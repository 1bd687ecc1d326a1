"use strict";
// The page reads forecasts off tables that were computed from all draws: the log hazard,
// log(-log(1 - P)), of a query with a larger score, by number of queries and score; and
// that of a response that shows the behaviour, by numbers of queries and of responses.

(function () {
  const content = JSON.parse(document.getElementById("content").textContent);
  const start = content.state;
  const A_DECADE = 4; // numbers of queries of the tables in a decade
  const SAMPLES_A_DECADE = 2; // and of responses
  const LOWEST = -20; // range of the log hazards in the table of the worst query
  const HIGHEST = 4;
  const FOREVER = 1e12;
  const MOST_SAMPLES = 1e6;

  // ------------------------------------------------------------------ the tables

  function bytes(text) {
    const raw = atob(text);
    const found = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) found[i] = raw.charCodeAt(i);
    return new DataView(found.buffer);
  }

  function floats(text) {
    const view = bytes(text);
    return Float64Array.from({ length: view.byteLength / 4 }, (_, i) => view.getFloat32(4 * i, true));
  }

  function hazards(text) {
    const view = bytes(text);
    return Float64Array.from({ length: view.byteLength / 2 }, (_, i) =>
      LOWEST + ((HIGHEST - LOWEST) * view.getUint16(2 * i, true)) / 65535);
  }

  const unpacked = (one) => ({
    name: one.name,
    seen: one.seen,
    heldOut: one.held_out || [],
    score: floats(one.score),
    worst: hazards(one.worst),
    failure: floats(one.failure),
  });

  const behaviours = content.behaviours.map(unpacked);

  // The cubic through four values at even distances, between the middle two.
  function cubic(value, count, at) {
    const clamped = Math.min(Math.max(at, 0), count - 1);
    const i = Math.min(Math.floor(clamped), count - 2);
    const t = clamped - i;
    const b = value(i);
    const c = value(i + 1);
    const a = i > 0 ? value(i - 1) : 2 * b - c;
    const d = i + 2 < count ? value(i + 2) : 2 * c - b;
    return b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)));
  }

  const place = (number) => A_DECADE * Math.log10(number);
  const chanceOf = (logHazard) => -Math.expm1(-Math.exp(logHazard));
  const logHazardOf = (chance) => Math.log(-Math.log1p(-chance));
  const riskOf = (score) => Math.exp(-Math.exp(-score));
  const scoreOf = (risk) => -Math.log(-(risk < 0.5 ? Math.log(risk) : Math.log1p(risk - 1)));

  // Where a score stands among those of a table: an index and the share of the way on.
  function between(scores, score) {
    let low = 0;
    let high = scores.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (scores[middle] <= score) low = middle;
      else high = middle;
    }
    return [low, (score - scores[low]) / (scores[high] - scores[low])];
  }

  // Log hazard of a query beyond a score, among so many.
  function worstHazard(one, queries, score) {
    const points = one.score.length;
    if (score >= one.score[points - 1]) return -Infinity;
    const [i, share] = between(one.score, Math.max(score, one.score[0]));
    const value = (row) => {
      const first = row * points + i;
      return one.worst[first] + share * (one.worst[first + 1] - one.worst[first]);
    };
    return cubic(value, content.sizes, place(queries));
  }

  const exceedance = (one, queries, risk) => chanceOf(worstHazard(one, queries, scoreOf(risk)));

  // The smallest score that the riskiest of so many stays below with a chance.
  function worstScore(one, queries, level) {
    const target = Math.log(-Math.log(level));
    const points = one.score.length;
    const at = (i) => cubic((row) => one.worst[row * points + i], content.sizes, place(queries));
    let low = 0;
    let high = points - 1;
    if (at(low) <= target) return one.score[low];
    if (at(high) > target) return one.score[high];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (at(middle) > target) low = middle;
      else high = middle;
    }
    const above = at(low);
    const below = at(high);
    return one.score[low] + ((above - target) / (above - below)) * (one.score[high] - one.score[low]);
  }

  // The largest number at which a function that increases is at most a target.
  function largest(increasing, target) {
    if (increasing(1) > target) return 0;
    if (increasing(FOREVER) <= target) return FOREVER;
    let low = 0;
    let high = Math.log10(FOREVER);
    for (let i = 0; i < 60; i++) {
      const middle = (low + high) / 2;
      if (increasing(10 ** middle) <= target) low = middle;
      else high = middle;
    }
    return 10 ** low;
  }

  const safe = (one, risk, level) => Math.floor(
    largest((queries) => worstHazard(one, queries, scoreOf(risk)), logHazardOf(level)) * (1 + 1e-9));

  function failureHazard(one, queries, samples) {
    const columns = content.samples;
    const at = (row) => cubic((column) => one.failure[row * columns + column], columns, SAMPLES_A_DECADE * Math.log10(samples));
    return cubic(at, content.sizes, place(queries));
  }

  const failure = (one, queries, samples) => chanceOf(failureHazard(one, queries, samples));

  const first = (one, samples, level) => Math.min(FOREVER, Math.ceil(
    largest((queries) => failureHazard(one, queries, samples), logHazardOf(level)) * (1 - 1e-9) || 1));

  function outlook(one, at) {
    const tail = (1 - start.interval) / 2;
    const worst = (level) => riskOf(worstScore(one, at.queries, level));
    return {
      lower: worst(tail),
      median: worst(0.5),
      upper: worst(1 - tail),
      exceedance: exceedance(one, at.queries, at.threshold),
      safe: safe(one, at.threshold, start.level),
      failure: failure(one, at.queries, at.samples),
      first_lower: first(one, at.samples, tail),
      first_median: first(one, at.samples, 0.5),
      first_upper: first(one, at.samples, 1 - tail),
    };
  }

  // ------------------------------------------------------------------ numbers in words

  const WORDS = [[1e12, "trillion"], [1e9, "billion"], [1e6, "million"]];

  function significant(value, digits) {
    if (value === 0) return "0";
    const places = digits - 1 - Math.floor(Math.log10(Math.abs(value)) + 1e-9);
    const scale = 10 ** places;
    const text = (Math.floor(value * scale + 0.5) / scale).toFixed(Math.max(places, 0));
    return text.includes(".") ? text.replace(/0+$/, "").replace(/\.$/, "") : text;
  }

  function count(value) {
    for (const [unit, word] of WORDS) {
      if (value >= unit * (1 - 5e-4)) return `${significant(value / unit, 3)}\u00a0${word}`;
    }
    if (value > 0 && value < 10 && Math.abs(value - Math.round(value)) > 1e-6) return significant(value, 2);
    return Math.floor(value + 0.5).toString().replace(/\B(?=(\d{3})+$)/g, ",");
  }

  // A safe number is never rounded up.
  function safely(value) {
    if (value < 10) return count(Math.floor(value));
    const power = 10 ** (Math.floor(Math.log10(value) + 1e-12) - 1);
    return count(Math.floor(value / power + 1e-9) * power);
  }

  const queriesText = (value) => (value === 1 ? "1 query" : `${count(value)} queries`);

  function risk(value) {
    if (value < 1e-15) return "below 1 in 10^15";
    if (1 - value < 1e-9) return "over 99.9999999\u00a0%";
    if (value < 1e-3) {
      const many = 1 / value;
      if (many > 1e15) return "below 1 in 10^15";
      const power = 10 ** (Math.floor(Math.log10(many) + 1e-9) - 1);
      return `1 in ${count(Math.floor(many / power + 0.5) * power)}`;
    }
    if (value < 0.99) return `${significant(100 * value, 2)}\u00a0%`;
    const digits = 1 - Math.floor(Math.log10(100 * (1 - value)) + 1e-9);
    return `${(100 * value).toFixed(digits).replace(/0+$/, "").replace(/\.$/, "")}\u00a0%`;
  }

  function chance(value) {
    if (value < 0.001) return "below 0.1\u00a0%";
    if (value > 0.999) return "over 99.9\u00a0%";
    if (value > 0.99) return `${(100 * value).toFixed(1)}\u00a0%`;
    return `${significant(100 * value, 2)}\u00a0%`;
  }

  const UNITS = { k: 1e3, thousand: 1e3, m: 1e6, million: 1e6, bn: 1e9, b: 1e9, billion: 1e9, trillion: 1e12 };

  // A number as people write it: 1e6, 1,000,000, 10^6, 2 million, 5 %, 1 in 2,000.
  function parsed(text) {
    const plain = text.trim().toLowerCase().replace(/[,_\u00a0]/g, "");
    const ratio = plain.match(/^1 in (.+)$/);
    if (ratio) return 1 / parsed(ratio[1]);
    const power = plain.match(/^10\s*\^\s*(-?\d+)$/);
    if (power) return 10 ** Number(power[1]);
    const parts = plain.match(/^([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)\s*(%|[a-z]*)$/);
    if (!parts) return NaN;
    const unit = parts[2] === "" ? 1 : parts[2] === "%" ? 0.01 : UNITS[parts[2]];
    return Number(parts[1]) * unit;
  }

  // ------------------------------------------------------------------ the settings

  function steps(lowest, highest) {
    const found = [];
    for (let power = lowest; power <= highest; power++) {
      for (const digit of [1, 2, 5]) found.push(Number(`${digit}e${power}`));
    }
    return found;
  }

  const upTo = (values, most) => values.filter((value) => value <= most);

  const settings = {
    queries: {
      positions: upTo(steps(0, 12), FOREVER),
      valid: (value) => Number.isInteger(value) && value >= 1 && value <= FOREVER,
      text: count,
      wrong: "A whole number from 1 to 1 trillion, such as 1e6 or 2 million.",
    },
    threshold: {
      positions: [...steps(-9, -1), 0.9, 0.99, 0.999],
      valid: (value) => value > 0 && value < 1,
      text: risk,
      wrong: "A risk between 0 and 1, such as 0.01, 5 % or 1 in 2,000.",
    },
    samples: {
      positions: upTo(steps(0, 6), MOST_SAMPLES),
      valid: (value) => Number.isInteger(value) && value >= 1 && value <= MOST_SAMPLES,
      text: count,
      wrong: "A whole number from 1 to 1 million.",
    },
  };

  const state = {
    behaviour: start.behaviour,
    queries: start.queries,
    threshold: start.threshold,
    samples: start.samples,
  };

  const $ = (id) => document.getElementById(id);

  function nearest(positions, value) {
    let best = 0;
    positions.forEach((one, i) => {
      if (Math.abs(Math.log(one / value)) < Math.abs(Math.log(positions[best] / value))) best = i;
    });
    return best;
  }

  function markWrong(name, wrong) {
    const hint = $(`${name}-hint`);
    hint.dataset.usual = hint.dataset.usual || hint.textContent;
    hint.textContent = wrong ? settings[name].wrong : hint.dataset.usual;
    hint.classList.toggle("wrong", wrong);
    if (wrong) $(name).setAttribute("aria-invalid", "true");
    else $(name).removeAttribute("aria-invalid");
  }

  function set(name, value) {
    state[name] = value;
    if (name !== "behaviour") markWrong(name, false);
    showSettings();
    update();
  }

  function showSettings() {
    $("behaviour").value = String(state.behaviour);
    for (const [name, setting] of Object.entries(settings)) {
      if (document.activeElement !== $(name)) $(name).value = setting.text(state[name]);
      const slider = $(`${name}-slider`);
      slider.value = nearest(setting.positions, state[name]);
      slider.setAttribute("aria-valuetext", setting.text(state[name]));
    }
  }

  function listen() {
    $("controls").addEventListener("submit", (event) => event.preventDefault());
    $("behaviour").addEventListener("change", (event) => set("behaviour", Number(event.target.value)));
    for (const [name, setting] of Object.entries(settings)) {
      const slider = $(`${name}-slider`);
      slider.max = setting.positions.length - 1;
      slider.addEventListener("input", () => set(name, setting.positions[Number(slider.value)]));
      const take = () => {
        const text = $(name).value;
        // What was shown and not changed stays what it is, digits not shown included.
        const value = text === setting.text(state[name]) ? state[name] : parsed(text);
        if (setting.valid(value)) set(name, value);
        else markWrong(name, true);
      };
      $(name).addEventListener("change", take);
      $(name).addEventListener("blur", () => {
        if (!$(name).hasAttribute("aria-invalid")) $(name).value = setting.text(state[name]);
      });
    }
  }

  // ------------------------------------------------------------------ what is said

  function say(name, text, number) {
    for (const each of document.querySelectorAll(`[data-say="${name}"]`)) {
      each.textContent = text;
      if (number !== undefined) each.dataset.number = String(number);
    }
  }

  function safeSentence(found) {
    const level = `${Number((100 * start.level).toPrecision(6))}\u00a0%`;
    if (found < 1) return `Even for a single query it is above ${level}.`;
    return `It stays below ${level} for up to ${safely(found)} ${found === 1 ? "query" : "queries"}${found >= FOREVER ? " or more" : ""}.`;
  }

  function update() {
    const one = behaviours[state.behaviour];
    const found = behaviours.map((each) => outlook(each, state));
    const own = found[state.behaviour];
    say("queries", queriesText(state.queries));
    say("threshold", risk(state.threshold));
    say("samples", count(state.samples));
    say("samples-plural", state.samples === 1 ? "" : "s");
    say("behaviour", one.name);
    for (const name of ["lower", "median", "upper"]) say(name, risk(own[name]), own[name]);
    for (const name of ["exceedance", "failure"]) say(name, chance(own[name]), own[name]);
    say("safe", "", own.safe);
    say("safe-sentence", safeSentence(own.safe));
    for (const name of ["first_lower", "first_upper"]) say(name, count(own[name]), own[name]);
    say("first_median", queriesText(own.first_median), own.first_median);
    for (const each of document.querySelectorAll('[data-say="seen-legend"]')) each.hidden = one.seen.length === 0;
    for (const each of document.querySelectorAll('[data-say="held-legend"]')) each.hidden = one.heldOut.length === 0;
    for (const each of document.querySelectorAll('[data-say="zone-legend"]')) each.hidden = start.far >= FOREVER;
    warnFar();
    showRows(found);
    showQueries();
    draw();
  }

  function warnFar() {
    const banner = document.querySelector('[data-warning="far"]');
    const far = state.queries > start.far;
    banner.hidden = !far;
    if (!far) return;
    const strong = document.createElement("strong");
    strong.textContent = "Warning.";
    banner.replaceChildren(strong, ` ${start.far_words[0]}${count(state.queries)}${start.far_words[1]}`);
  }

  function showRows(found) {
    const axis = stripAxis(found);
    for (const row of document.querySelectorAll("#behaviour-table tbody tr")) {
      const at = Number(row.dataset.behaviour);
      const own = found[at];
      row.classList.toggle("chosen", at === state.behaviour);
      const cell = (name, text, sort) => {
        const each = row.querySelector(`[data-cell="${name}"]`);
        each.textContent = text;
        each.dataset.sort = String(sort);
      };
      cell("median", risk(own.median), own.median);
      cell("interval", `${risk(own.lower)} to ${risk(own.upper)}`, own.upper);
      cell("exceedance", chance(own.exceedance), own.exceedance);
      cell("safe", safely(own.safe) + (own.safe >= FOREVER ? " or more" : ""), own.safe);
      cell("failure", chance(own.failure), own.failure);
      row.querySelector('[data-cell="strip"]').replaceChildren(intervalStrip(behaviours[at], axis));
    }
  }

  let everyBehaviour = false;

  function showQueries() {
    const name = behaviours[state.behaviour].name;
    for (const table of document.querySelectorAll("table.by-behaviour")) {
      table.classList.toggle("one", !everyBehaviour);
      for (const row of table.tBodies[0].rows) row.toggleAttribute("data-other", row.dataset.of !== name);
    }
    document.body.classList.toggle("several", everyBehaviour || behaviours.length === 1);
    const button = $("all-queries");
    button.setAttribute("aria-pressed", String(everyBehaviour));
    button.parentElement.hidden = behaviours.length === 1;
    button.textContent = everyBehaviour ? "Show the chosen behaviour alone" : "Show all behaviours";
  }

  // ------------------------------------------------------------------ sorting

  function sortable(table) {
    const heads = [...table.tHead.rows[0].cells];
    // On a narrow screen each cell stands beside its heading.
    for (const row of table.tBodies[0].rows) {
      heads.forEach((head, column) => { row.cells[column].dataset.label = head.textContent.trim(); });
    }
    heads.forEach((head, column) => {
      const button = head.querySelector("button");
      if (!button) return;
      button.addEventListener("click", () => {
        const numeric = head.classList.contains("number");
        const before = head.getAttribute("aria-sort");
        const order = before === "none" ? (numeric ? "descending" : "ascending")
          : before === "ascending" ? "descending" : "ascending";
        heads.forEach((each) => each.hasAttribute("aria-sort") && each.setAttribute("aria-sort", "none"));
        head.setAttribute("aria-sort", order);
        const sign = order === "ascending" ? 1 : -1;
        const key = (row) => row.cells[column].dataset.sort;
        const compare = (one, other) => {
          const [a, b] = [key(one), key(other)];
          const numbers = a !== "" && b !== "" && !isNaN(a) && !isNaN(b);
          return sign * (numbers ? Number(a) - Number(b) : a.localeCompare(b, "en", { numeric: true }));
        };
        table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
      });
    });
  }

  // ------------------------------------------------------------------ pictures

  const SVG = "http://www.w3.org/2000/svg";

  function shape(name, attributes, text) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) {
      made.setAttribute(key, typeof value === "number" ? String(Math.round(value * 100) / 100) : value);
    }
    if (text !== undefined) made.textContent = text;
    return made;
  }

  // Scores beyond these have a risk that a page cannot tell from 0 or from 1.
  const DEEPEST = -6.6;
  const HIGHEST_SHOWN = 14;
  const shown = (score) => Math.min(Math.max(score, DEEPEST), HIGHEST_SHOWN);

  function scale(low, high, first, last) {
    const at = (value) => first + ((value - low) / (high - low)) * (last - first);
    at.back = (pixel) => low + ((pixel - first) / (last - first)) * (high - low);
    return at;
  }

  const DECADES = [-300, -200, -100, -50, -30, -20, -15, -12, -9, -8, -7, -6, -5, -4, -3, -2, -1];

  const raised = (power) => [...String(power)].map((sign) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(sign)]).join("");

  function riskTicks(low, high, room) {
    const named = DECADES.map((power) => [-Math.log(-power * Math.LN10), power < -14 ? `10${raised(power)}` : risk(10 ** power)]);
    for (const value of [0.2, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999]) named.push([scoreOf(value), risk(value)]);
    named.push([scoreOf(0.05), "5 %"], [scoreOf(0.02), "2 %"], [scoreOf(0.005), "0.5 %"], [scoreOf(0.002), "0.2 %"]);
    const found = [];
    // The rounder come first, and others where there is room left.
    for (const [score, text] of named) {
      if (score < low || score > high) continue;
      if (found.every(([other]) => Math.abs(other - score) >= room)) found.push([score, text]);
    }
    return found;
  }

  function intervalStrip(one, axis) {
    const width = 150;
    const x = scale(axis.low, axis.high, 4, width - 4);
    const at = (level) => x(shown(worstScore(one, state.queries, level)));
    const tail = (1 - start.interval) / 2;
    const made = shape("svg", { viewBox: `0 0 ${width} 22`, "aria-hidden": "true", focusable: "false" });
    const limit = shown(scoreOf(state.threshold));
    if (limit >= axis.low && limit <= axis.high) {
      made.append(shape("line", { class: "limit", x1: x(limit), x2: x(limit), y1: 0, y2: 22 }));
    }
    made.append(
      shape("line", { class: "outer", x1: at(tail), x2: at(1 - tail), y1: 11, y2: 11 }),
      shape("line", { class: "inner", x1: at(0.25), x2: at(0.75), y1: 11, y2: 11 }),
      shape("circle", { class: "middle", cx: at(0.5), cy: 11, r: 4 }),
    );
    return made;
  }

  function stripAxis(found) {
    const ends = found.flatMap((own) => [own.lower, own.upper]).map((value) => shown(scoreOf(value)));
    const low = Math.min(...ends);
    const high = Math.max(...ends);
    const room = 0.06 * (high - low) || 0.5;
    return { low: low - room, high: high + room };
  }

  // Numbers of queries of the picture: past the deployment, and past what is near.
  function domain(one) {
    const far = Math.max(100 * state.queries, 10 * start.far, 1e6);
    return [0, Math.min(Math.ceil(Math.log10(far)), 12)];
  }

  function frame(holder, name, height, left) {
    const width = Math.max(holder.clientWidth, 260);
    const svg = shape("svg", {
      viewBox: `0 0 ${width} ${height}`, width, height, role: "img", tabindex: "0", "aria-labelledby": name,
    });
    return { svg, width, height, left, right: width - 12, top: 26, bottom: height - 46 };
  }

  function countAxis(box, x, last) {
    const each = (box.right - box.left) / last < 26 ? 3 : 1;
    for (let power = 0; power <= last; power += 1) {
      if (power % each && power % 3) continue;
      const named = power % 3 === 0;
      box.svg.append(shape("line", { class: "grid", x1: x(power), x2: x(power), y1: box.top, y2: box.bottom + (named ? 5 : 0) }));
      if (!named) continue;
      const words = { 0: "1", 3: "1,000", 6: "1 million", 9: "1 billion", 12: "1 trillion" };
      const anchor = power === 0 ? "start" : x(power) > box.right - 30 ? "end" : "middle";
      box.svg.append(shape("text", { x: anchor === "start" ? x(power) - 4 : x(power), y: box.bottom + 20, "text-anchor": anchor }, words[power]));
    }
    box.svg.append(shape("text", { class: "axis-name", x: (box.left + box.right) / 2, y: box.height - 6, "text-anchor": "middle" }, "queries served"));
  }

  function farZone(box, x, last) {
    const from = Math.log10(start.far);
    if (from >= last) return;
    box.svg.append(shape("rect", { class: "zone", x: x(from), y: box.top, width: box.right - x(from), height: box.bottom - box.top }));
  }

  function outline(points, x, y) {
    return points.map(([a, b], i) => `${i ? "L" : "M"}${x(a).toFixed(2)} ${y(b).toFixed(2)}`).join("");
  }

  function drawScaling(one) {
    const holder = $("scaling");
    const box = frame(holder, "scaling-title", 360, 92);
    const [, last] = domain(one);
    const tail = (1 - start.interval) / 2;
    const places = Array.from({ length: 4 * last + 1 }, (_, i) => i / 4);
    const curve = (level) => places.map((power) => [power, shown(worstScore(one, 10 ** power, level))]);
    const curves = [tail, 0.25, 0.5, 0.75, 1 - tail].map(curve);
    const points = (list) => list.map(([queries, score]) => [Math.log10(queries), shown(score)]);
    const [dots, rings] = [points(one.seen), points(one.heldOut)];
    const limit = shown(scoreOf(state.threshold));
    // A single query may have no risk to speak of: from ten on it is a picture.
    const values = [...curves.flat().filter(([power]) => power >= 1), ...dots, ...rings].map(([, score]) => score);
    let low = Math.min(...values);
    let high = Math.max(...values);
    // The threshold is in the picture where it is not far from the rest.
    const span = high - low || 1;
    if (limit > high && limit < high + 0.6 * span) high = limit;
    if (limit < low && limit > low - 0.6 * span) low = limit;
    const room = 0.05 * (high - low || 1);
    [low, high] = [low - room, high + room];
    const x = scale(0, last, box.left, box.right);
    const height = scale(low, high, box.bottom, box.top);
    const y = (score) => height(Math.min(Math.max(score, low), high));
    farZone(box, x, last);
    countAxis(box, x, last);
    for (const [score, text] of riskTicks(low, high, (26 * (high - low)) / (box.bottom - box.top))) {
      box.svg.append(
        shape("line", { class: "grid", x1: box.left, x2: box.right, y1: y(score), y2: y(score) }),
        shape("text", { x: box.left - 8, y: y(score) + 4, "text-anchor": "end" }, text),
      );
    }
    const band = (lower, upper, name) => shape("path", {
      class: name, d: `${outline(lower, x, y)}${outline([...upper].reverse(), x, y).replace("M", "L")}Z`,
    });
    box.svg.append(
      band(curves[0], curves[4], "band"),
      band(curves[1], curves[3], "band inner"),
      shape("path", { class: "line", d: outline(curves[2], x, y) }),
    );
    for (const [power, score] of rings) box.svg.append(shape("circle", { class: "ring", cx: x(power), cy: y(score), r: 2.6 }));
    for (const [power, score] of dots) box.svg.append(shape("circle", { class: "dot", cx: x(power), cy: y(score), r: 2.2 }));
    if (limit >= low && limit <= high) {
      const above = y(limit) - 7 > box.top + 10;
      box.svg.append(
        shape("line", { class: "threshold", x1: box.left, x2: box.right, y1: y(limit), y2: y(limit) }),
        shape("text", { class: "threshold-name", x: box.right - 6, y: y(limit) + (above ? -7 : 17), "text-anchor": "end" }, `threshold ${risk(state.threshold)}`),
      );
    }
    here(box, x, last, y(shown(worstScore(one, state.queries, 0.5))));
    interactive(holder, box, x, last, (queries) => {
      const at = (level) => worstScore(one, queries, level);
      return {
        y: y(shown(at(0.5))),
        title: `Riskiest of ${queriesText(queries)}`,
        lines: [
          `median ${risk(riskOf(at(0.5)))}`,
          `50 %: ${risk(riskOf(at(0.25)))} to ${risk(riskOf(at(0.75)))}`,
          `${Number((100 * start.interval).toPrecision(6))}\u00a0%: ${risk(riskOf(at(tail)))} to ${risk(riskOf(at(1 - tail)))}`,
        ],
      };
    });
  }

  function drawExceeding(one) {
    const holder = $("exceeding");
    const box = frame(holder, "exceeding-title", 360, 50);
    const [, last] = domain(one);
    const x = scale(0, last, box.left, box.right);
    const y = scale(0, 1, box.bottom, box.top);
    farZone(box, x, last);
    countAxis(box, x, last);
    for (const share of [0, 0.25, 0.5, 0.75, 1]) {
      box.svg.append(
        shape("line", { class: "grid", x1: box.left, x2: box.right, y1: y(share), y2: y(share) }),
        shape("text", { x: box.left - 8, y: y(share) + 4, "text-anchor": "end" }, `${100 * share} %`),
      );
    }
    const points = Array.from({ length: 16 * last + 1 }, (_, i) => [i / 16, exceedance(one, 10 ** (i / 16), state.threshold)]);
    box.svg.append(
      shape("line", { class: "threshold", x1: box.left, x2: box.right, y1: y(start.level), y2: y(start.level) }),
      shape("text", { class: "threshold-name", x: box.right - 6, y: y(start.level) - 7, "text-anchor": "end" }, `${Number((100 * start.level).toPrecision(6))}\u00a0%`),
      shape("path", { class: "line", d: outline(points, x, y) }),
    );
    here(box, x, last, y(exceedance(one, state.queries, state.threshold)));
    interactive(holder, box, x, last, (queries) => ({
      y: y(exceedance(one, queries, state.threshold)),
      title: `Among ${queriesText(queries)}`,
      lines: [`chance of one riskier than ${risk(state.threshold)}: ${chance(exceedance(one, queries, state.threshold))}`],
    }));
  }

  function here(box, x, last, y) {
    const at = x(Math.min(Math.log10(state.queries), last));
    const right = at < (box.left + box.right) / 2;
    box.svg.append(
      shape("line", { class: "here", x1: at, x2: at, y1: box.top, y2: box.bottom }),
      shape("text", { class: "here-name", x: at + (right ? -4 : 4), y: box.top - 8, "text-anchor": right ? "start" : "end" }, queriesText(state.queries)),
      shape("circle", { class: "here-dot", cx: at, cy: y, r: 6 }),
    );
  }

  // A number of queries with two digits.
  const rounded = (power) => Math.min(Number((10 ** power).toPrecision(2)), FOREVER);

  function interactive(holder, box, x, last, tell) {
    const cursor = shape("line", { class: "cursor", y1: box.top, y2: box.bottom, visibility: "hidden" });
    const dot = shape("circle", { class: "cursor-dot", r: 5, visibility: "hidden" });
    box.svg.append(cursor, dot);
    let power = Math.min(Math.log10(state.queries), last);
    const reading = $("reading");

    function point() {
      const queries = rounded(power);
      const found = tell(queries);
      const at = x(Math.log10(queries));
      cursor.setAttribute("x1", at);
      cursor.setAttribute("x2", at);
      dot.setAttribute("cx", at);
      dot.setAttribute("cy", found.y);
      for (const each of [cursor, dot]) each.setAttribute("visibility", "visible");
      const title = document.createElement("b");
      title.textContent = found.title;
      reading.replaceChildren(title);
      found.lines.forEach((line) => {
        const each = document.createElement("span");
        each.textContent = line;
        reading.append(each, document.createElement("br"));
      });
      reading.hidden = false;
      const bounds = box.svg.getBoundingClientRect();
      const ratio = bounds.width / box.width;
      const wide = reading.offsetWidth;
      const beside = bounds.left + at * ratio + 16;
      const left = beside + wide > document.documentElement.clientWidth - 8 ? beside - wide - 32 : beside;
      reading.style.left = `${Math.max(left, 8) + window.scrollX}px`;
      reading.style.top = `${bounds.top + window.scrollY + 24}px`;
    }

    function leave() {
      for (const each of [cursor, dot]) each.setAttribute("visibility", "hidden");
      reading.hidden = true;
    }

    box.svg.addEventListener("pointermove", (event) => {
      const bounds = box.svg.getBoundingClientRect();
      const pixel = ((event.clientX - bounds.left) / bounds.width) * box.width;
      power = Math.min(Math.max(x.back(pixel), 0), last);
      point();
    });
    box.svg.addEventListener("pointerleave", leave);
    box.svg.addEventListener("blur", leave);
    box.svg.addEventListener("focus", () => {
      if (box.svg.matches(":focus-visible")) point();
    });
    box.svg.addEventListener("click", () => set("queries", rounded(power)));
    box.svg.addEventListener("keydown", (event) => {
      const moves = { ArrowLeft: -0.1, ArrowRight: 0.1, PageDown: -1, PageUp: 1, Home: -12, End: 12 };
      if (event.key in moves) {
        power = Math.min(Math.max(power + moves[event.key], 0), last);
        point();
      } else if (event.key === "Enter" || event.key === " ") {
        set("queries", rounded(power));
        holder.querySelector("svg").focus();
      } else if (event.key === "Escape") {
        leave();
      } else {
        return;
      }
      event.preventDefault();
    });
    holder.replaceChildren(box.svg);
  }

  function draw() {
    $("reading").hidden = true;
    const one = behaviours[state.behaviour];
    drawScaling(one);
    drawExceeding(one);
  }

  // ------------------------------------------------------------------ the start

  document.documentElement.classList.add("scripted");
  listen();
  document.querySelectorAll("table.sortable").forEach(sortable);
  for (const row of document.querySelectorAll("#behaviour-table tbody tr")) {
    row.addEventListener("click", () => set("behaviour", Number(row.dataset.behaviour)));
  }
  $("all-queries").addEventListener("click", () => {
    everyBehaviour = !everyBehaviour;
    showQueries();
  });
  showSettings();
  update();

  let width = window.innerWidth;
  window.addEventListener("resize", () => {
    if (window.innerWidth === width) return;
    width = window.innerWidth;
    draw();
  });

  // On paper all is open and all behaviours are listed.
  let closed = [];
  window.addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    closed.forEach((each) => { each.open = true; });
    draw();
  });
  window.addEventListener("afterprint", () => {
    closed.forEach((each) => { each.open = false; });
    draw();
  });

  // For tests, and for those who would rather read numbers off the console.
  window.report = { behaviours, unpacked, state, set, outlook, risk, chance, count, safely, parsed, worstScore, exceedance, riskOf };
})();

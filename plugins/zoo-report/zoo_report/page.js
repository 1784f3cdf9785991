// What the page does: players that take turns, playheads, and the blind comparison. No library, no network.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("report-data").textContent);

  // One sound at a time, and a line where it is.
  const players = [...document.querySelectorAll(".sound")].map((figure) => ({
    audio: figure.querySelector("audio"),
    inside: figure.querySelector(".inside"),
    head: figure.querySelector(".playhead"),
    longest: 0,
  }));
  for (const group of document.querySelectorAll(".sounds")) {
    const inGroup = players.filter((player) => group.contains(player.audio));
    const seconds = inGroup.map((player) => Number(player.audio.closest(".sound").dataset.seconds));
    for (const player of inGroup) player.longest = Math.max(...seconds);
  }

  function move(player) {
    player.head.style.display = "block";
    player.head.style.left = `${(100 * player.audio.currentTime) / player.longest}%`;
    if (!player.audio.paused) requestAnimationFrame(() => move(player));
  }

  for (const player of players) {
    player.audio.addEventListener("play", () => {
      silence(player.audio);
      move(player);
    });
    player.audio.addEventListener("seeked", () => move(player));
    player.inside.addEventListener("click", (event) => {
      const box = player.inside.getBoundingClientRect();
      player.audio.currentTime = (player.longest * (event.clientX - box.left)) / box.width;
      player.audio.play().catch(() => {}); // the player itself shows that it cannot
    });
  }

  function silence(except) {
    for (const { audio } of players) if (audio !== except) audio.pause();
    if (except !== hidden) stop();
  }

  // The blind comparison. Its sounds are played by an element that is not in the page, so that no player moves.
  const hidden = new Audio();
  const answersInAll = () => state.answers.length;
  let heard = new Set();
  let state = { answers: [], queue: [], running: false, models: data.models.map((_, i) => i) };

  function stop() {
    hidden.pause();
    for (const name of ["r", "a", "b"]) byId(`play-${name}`)?.setAttribute("aria-pressed", "false");
  }

  if (data.phrases.length === 0) return;

  // A browser may refuse to keep anything, for a file:// page for one: then answers last as long as the page is open.
  let kept = true;
  function save() {
    try {
      localStorage.setItem(data.key, JSON.stringify(state));
    } catch {
      kept = false;
    }
    byId("blind-kept").textContent = kept
      ? "Your answers are kept in this browser, and go nowhere else."
      : "This browser keeps nothing for this page: your answers are gone when it is closed or loaded again.";
  }

  function restore() {
    try {
      const found = JSON.parse(localStorage.getItem(data.key) ?? "null");
      if (isState(found)) state = found;
    } catch {
      kept = false;
    }
  }

  const isPlace = (value, list) => Number.isInteger(value) && value >= 0 && value < list.length;
  const isTrial = (trial) =>
    isPlace(trial?.phrase, data.phrases) &&
    [trial.a, trial.b].every((place) => isPlace(place, data.phrases[trial.phrase].sounds));
  const isAnswer = (answer) => isTrial(answer) && ["a", "b", "none"].includes(answer.choice);
  const isState = (found) =>
    Array.isArray(found?.queue) && found.queue.every(isTrial) &&
    Array.isArray(found.answers) && found.answers.every(isAnswer) &&
    Array.isArray(found.models) && found.models.every((model) => isPlace(model, data.models)) &&
    typeof found.running === "boolean";

  const soundOf = (trial, side) => data.phrases[trial.phrase].sounds[trial[side]];
  const modelOf = (trial, side) => soundOf(trial, side).model;

  function shuffled(list) {
    const mixed = [...list];
    for (let i = mixed.length - 1; i > 0; i--) {
      const j = Math.floor(Math.random() * (i + 1));
      [mixed[i], mixed[j]] = [mixed[j], mixed[i]];
    }
    return mixed;
  }

  // Every pair of every phrase once, in any order, either side first.
  function round(models) {
    const trials = [];
    data.phrases.forEach(({ sounds }, phrase) => {
      for (let a = 0; a < sounds.length; a++) {
        for (let b = a + 1; b < sounds.length; b++) {
          if (models.includes(sounds[a].model) && models.includes(sounds[b].model)) {
            trials.push(Math.random() < 0.5 ? { phrase, a, b } : { phrase, a: b, b: a });
          }
        }
      }
    });
    return shuffled(trials);
  }

  const chosenModels = () =>
    [...document.querySelectorAll("#blind-setup input:checked")].map((box) => Number(box.value));

  function show() {
    const trial = state.running ? state.queue[0] : undefined;
    byId("blind-setup").hidden = state.running || answersInAll() > 0;
    byId("blind-trial").hidden = !trial;
    byId("blind-tally").hidden = Boolean(trial) || answersInAll() === 0;
    const count = round(chosenModels()).length;
    byId("blind-setup").querySelector("button").disabled = count === 0;
    byId("blind-count").textContent = `${count} comparison${count === 1 ? "" : "s"}; you can stop at any of them.`;
    if (trial) showTrial(trial);
    else if (answersInAll() > 0) showTally();
  }

  function showTrial(trial) {
    stop();
    heard = new Set();
    const left = state.queue.length === 1 ? "the last of this round" : `${state.queue.length} left in this round`;
    byId("blind-progress").textContent =
      `Comparison ${answersInAll() + 1} (${left}): ${data.phrases[trial.phrase].title}`;
    byId("blind-status").textContent = "Play the recording, then A and B.";
    allowChoice();
  }

  function allowChoice() {
    const ready = heard.has("a") && heard.has("b");
    for (const id of ["choose-a", "choose-b", "choose-none"]) byId(id).disabled = !ready;
  }

  async function play(side) {
    const trial = state.queue[0];
    const key = side === "r" ? data.phrases[trial.phrase].recording : soundOf(trial, side).key;
    silence(hidden);
    stop();
    hidden.src = byId(key).src;
    const button = byId(`play-${side}`);
    button.setAttribute("aria-pressed", "true");
    const title = side === "r" ? "the recording" : `sound ${side.toUpperCase()}`;
    try {
      await hidden.play();
    } catch (error) {
      if (error.name === "AbortError") return; // another sound was asked for meanwhile
      button.setAttribute("aria-pressed", "false");
      byId("blind-status").textContent = `This browser cannot play ${title}: ${error.message}`;
      return;
    }
    heard.add(side);
    allowChoice();
    const both = heard.has("a") && heard.has("b");
    byId("blind-status").textContent = `Playing ${title}.${both ? " Which is closer to the recording?" : ""}`;
  }

  function choose(choice) {
    if (byId("choose-a").disabled) return;
    const trial = state.queue.shift();
    state.answers.push({ ...trial, choice, time: new Date().toISOString() });
    if (state.queue.length === 0) finish();
    else {
      save();
      show();
      byId("blind-trial").focus();
    }
  }

  function finish() {
    stop();
    state.running = false;
    save();
    show();
    (byId("blind-tally").hidden ? byId("blind-setup") : byId("blind-tally")).focus();
  }

  function begin(models) {
    state.models = models;
    if (state.queue.length === 0) state.queue = round(models);
    state.running = state.queue.length > 0;
    save();
    show();
    byId("blind-trial").focus();
  }

  // The share of fair coins' throws that come out at least as uneven.
  function signTest(more, less) {
    const count = more + less;
    if (count === 0) return 1;
    let term = 0.5 ** count;
    let tail = 0;
    for (let i = 0; i <= Math.min(more, less); i++) {
      tail += term;
      term *= (count - i) / (i + 1);
    }
    return Math.min(1, 2 * tail);
  }

  function tally() {
    const pairs = new Map();
    for (const answer of state.answers) {
      const models = [modelOf(answer, "a"), modelOf(answer, "b")];
      const [first, second] = [...models].sort((x, y) => x - y);
      const pair = pairs.get(`${first} ${second}`) ?? { first, second, counts: [0, 0, 0] };
      pairs.set(`${first} ${second}`, pair);
      const chosen = answer.choice === "none" ? null : modelOf(answer, answer.choice);
      pair.counts[chosen === first ? 0 : chosen === second ? 1 : 2] += 1;
    }
    return [...pairs.values()].sort((x, y) => x.first - y.first || x.second - y.second);
  }

  function showTally() {
    const rows = tally().map(({ first, second, counts }) => {
      const row = document.createElement("tr");
      const head = document.createElement("th");
      head.scope = "row";
      head.textContent = `${data.models[first]} – ${data.models[second]}`;
      row.append(head);
      const chance = 100 * signTest(counts[0], counts[1]);
      for (const text of [...counts, `${chance < 10 ? chance.toPrecision(2) : chance.toFixed(0)} %`]) {
        const cell = document.createElement("td");
        cell.textContent = text;
        row.append(cell);
      }
      return row;
    });
    byId("blind-rows").replaceChildren(...rows);
  }

  // A spreadsheet takes what begins with one of these for a formula, and a run's name may be anything.
  function quoted(value) {
    const text = String(value);
    return `"${(/^[=+\-@\t\r]/.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;
  }

  function csv() {
    const lines = [["time", "phrase", "a", "b", "choice", "closer"].join(",")];
    for (const answer of state.answers) {
      const [a, b] = ["a", "b"].map((side) => data.models[modelOf(answer, side)]);
      const closer = { a, b, none: "" }[answer.choice];
      const fields = [answer.time, data.phrases[answer.phrase].title, a, b, answer.choice, closer];
      lines.push(fields.map(quoted).join(","));
    }
    return `${lines.join("\r\n")}\r\n`;
  }

  function download() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
    link.download = `${data.key}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }

  hidden.addEventListener("ended", stop);
  for (const side of ["r", "a", "b"]) byId(`play-${side}`).addEventListener("click", () => play(side));
  for (const choice of ["a", "b", "none"]) byId(`choose-${choice}`).addEventListener("click", () => choose(choice));
  byId("play-stop").addEventListener("click", stop);
  byId("blind-finish").addEventListener("click", finish);
  byId("blind-more").addEventListener("click", () => begin(state.models));
  byId("blind-csv").addEventListener("click", download);
  byId("blind-clear").addEventListener("click", () => {
    state = { ...state, answers: [], queue: [], running: false };
    save();
    show();
    byId("blind-setup").querySelector("input").focus();
  });
  byId("blind-setup").addEventListener("change", show);
  byId("blind-setup").addEventListener("submit", (event) => {
    event.preventDefault();
    state.queue = [];
    begin(chosenModels());
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select, audio");
    if (!state.running || event.ctrlKey || event.metaKey || event.altKey || event.repeat || typing) return;
    const key = event.key.toLowerCase();
    if (["r", "a", "b"].includes(key)) play(key);
    else if (key === "s") stop();
    else if (["1", "2", "0"].includes(key)) choose({ 1: "a", 2: "b", 0: "none" }[key]);
  });

  restore();
  for (const box of document.querySelectorAll("#blind-setup input")) {
    box.checked = state.models.includes(Number(box.value));
  }
  byId("blind-work").hidden = false;
  save();
  show();
})();

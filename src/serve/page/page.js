// Follows the metrics WebSocket of this node. What is not connected is said to be so; nothing is made up.
"use strict";

const port = document.documentElement.dataset.metricsPort;
const link = document.getElementById("link");
const body = document.getElementById("validators");
const number = new Intl.NumberFormat("en");
const RETRY_MIN_MS = 500, RETRY_MAX_MS = 15000, SILENT_MS = 5000;

let retryMs = RETRY_MIN_MS;
let silence = 0;

function say(state, text) {
  link.dataset.state = state;
  link.textContent = text;
  document.body.classList.toggle("stale", state !== "live");
}

function milliseconds(value) {
  return value === 0 ? "–" : number.format(value) + " ms";
}

function cell(row, label, text) {
  const td = row.insertCell();
  td.dataset.label = label;
  td.textContent = text;
  return td;
}

function healthCell(row, health) {
  const td = cell(row, "health", "");
  const meter = document.createElement("meter");
  Object.assign(meter, { min: 0, max: 100, low: 50, high: 80, optimum: 100, value: health });
  const digits = document.createElement("span");
  digits.textContent = String(health);
  td.append(meter, digits);
}

// A validator that does not run sends no figures, and a 0 would be one.
const WITH_FIGURES = new Set(["running", "stalled"]);

function showValidator(name, v) {
  const row = document.createElement("tr");
  row.insertCell().textContent = name;
  cell(row, "port", String(v.port));
  const state = cell(row, "state", v.state);
  state.dataset.state = v.state;
  if (v.error) state.title = v.error;
  const known = WITH_FIGURES.has(v.state);
  const figure = (label, text) => cell(row, label, known ? text : "–");
  figure("queued", number.format(v.queue_depth));
  figure("messages/s", number.format(v.msg_rate));
  figure("sync submit", milliseconds(v.latency));
  figure("dead letters", number.format(v.dead_letters));
  if (known) healthCell(row, v.health);
  else figure("health");
  return row;
}

function show(figures) {
  const { aggregate, ...validators } = figures;
  body.replaceChildren(...Object.entries(validators).map(([name, v]) => showValidator(name, v)));
  for (const dd of document.querySelectorAll("#aggregate dd")) {
    const value = aggregate[dd.dataset.key];
    dd.textContent = dd.dataset.key === "avg_latency" ? milliseconds(value) : number.format(value);
  }
}

function connect() {
  const socket = new WebSocket(`ws://${location.hostname}:${port}/qssh-queue-metrics`);
  // Once. A connection that has died silently closes in a minute or never, so nobody waits for that.
  const end = (why) => {
    socket.onmessage = socket.onclose = null;
    socket.close();
    clearTimeout(silence);
    say("disconnected", `${why}; trying again in ${(retryMs / 1000).toFixed(1)} s`);
    setTimeout(connect, retryMs);
    retryMs = Math.min(retryMs * 2, RETRY_MAX_MS);
  };
  const watchSilence = () => {
    clearTimeout(silence);
    silence = setTimeout(() => end("no figures for 5 s"), SILENT_MS);
  };
  socket.onmessage = (event) => {
    retryMs = RETRY_MIN_MS;
    show(JSON.parse(event.data));
    say("live", "live");
    watchSilence();
  };
  socket.onclose = () => end("disconnected");
  watchSilence();
}

if (port === "0") {
  say("disconnected", "this node runs without --metrics-port");
} else {
  connect();
}

"use strict";
/* The status page. Text only ever enters by textContent; everything is asked for with relative addresses. */

const byId = (id) => document.getElementById(id);
const holder = byId("strings");
let words = JSON.parse(holder.textContent);
let lang = document.documentElement.lang;
let latest = null;
let stale = 0;

const t = (key, values = {}) =>
  (words[key] ?? key).replace(/\{(\w+)\}/g, (mark, name) => (name in values ? values[name] : mark));

/* el("p", "why", child, ...): an element with a class and children, strings as text. */
function el(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

/* ---- numbers and times in the reader's language ---- */

const number = (value, digits = 0) =>
  new Intl.NumberFormat(lang, { maximumFractionDigits: digits }).format(value);

const compact = (value) =>
  new Intl.NumberFormat(lang, { notation: "compact", maximumFractionDigits: 1 }).format(value);

function money(value, small = false) {
  if (value === null || value === undefined) return "–";
  const amount = Number(value);
  const digits = amount !== 0 && Math.abs(amount) < 0.01 ? (small ? 6 : 4) : 2;
  const style = { style: "currency", currency: latest?.currency ?? "USD", currencyDisplay: "narrowSymbol", maximumFractionDigits: digits };
  return new Intl.NumberFormat(lang, style).format(amount);
}

function duration(ms) {
  if (ms === null || ms === undefined) return "–";
  return ms < 1000 ? `${number(ms)} ms` : `${number(ms / 1000, 1)} s`;
}

function ago(time) {
  const then = Date.parse(time);
  if (Number.isNaN(then)) return t("never");
  const seconds = Math.min(0, (then - Date.parse(latest.now)) / 1000);
  const format = new Intl.RelativeTimeFormat(lang, { numeric: "auto", style: "short" });
  for (const [unit, size] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
    if (seconds <= -size) return format.format(Math.round(seconds / size), unit);
  }
  return format.format(Math.round(seconds), "second");
}

/* ---- parts of the page ---- */

const TONES = {
  available: "good", ok: "good", connected: "good",
  probing: "warn", waiting: "off", cooling_down: "warn", degraded: "warn", connecting: "warn", unknown: "warn", empty: "warn", demo: "warn",
  down: "bad", disconnected: "bad", unauthorized: "bad", error: "bad",
};
const tag = (state, text) => el("span", `tag ${TONES[state] ?? "off"}`, text ?? label(state));
const label = (state) => (`state_${state}` in words ? t(`state_${state}`) : String(state).replaceAll("_", " "));
const percentTone = (percent) => (percent >= 100 ? "bad" : percent >= 80 ? "warn" : "good");

function bar(percent, text) {
  const fill = el("i");
  fill.style.width = `${Math.max(0, Math.min(100, percent))}%`;
  const box = el("span", `bar ${percentTone(percent)}`, fill);
  box.setAttribute("role", "progressbar");
  box.setAttribute("aria-label", text);
  box.setAttribute("aria-valuenow", String(Math.round(percent)));
  return box;
}

function rows(id, items, draw, empty) {
  const list = byId(id);
  list.replaceChildren(...(items.length ? items.map(draw) : [el("li", "quiet", t(empty))]));
}

function tile(name, value, hint) {
  return el("div", "", el("dd", "", value, hint ? el("small", "", hint) : ""), el("dt", "", t(name)));
}

function drawHeader({ health, version, hub }) {
  const state = health.status !== "ok" ? health.status : health.demo ? "demo" : "ok";
  const pill = byId("pill");
  const text = t(`health_${state}`);
  if (pill.textContent !== text) pill.textContent = text;
  pill.className = `pill ${TONES[state] ?? "off"}`;
  byId("version").textContent = `${t("version", { version })} · MQTT: ${label(health.mqtt ?? "disabled")}`;
  byId("demo").hidden = !health.demo;
  byId("paused").hidden = !hub.cloud_paused;
  byId("problems").hidden = !health.problems.length;
  byId("problems").querySelector("ul").replaceChildren(...health.problems.map((problem) => el("li", "", problem)));
}

function drawSpend({ hub }) {
  const tokens = t("tokens_in_out", { input: compact(hub.input_tokens ?? 0), output: compact(hub.output_tokens ?? 0) });
  byId("tiles").replaceChildren(
    tile("cost_today", money(hub.cost_today ?? 0)),
    tile("cost_month", money(hub.cost_month ?? 0), t("cost_total", { cost: money(hub.cost_total ?? 0) })),
    tile("saved_month", money(hub.saved_month ?? 0), t("saved_hint")),
    ...(hub.cached_percent > 0
      ? [tile("saved_cache_month", money(hub.saved_cache_month ?? 0), t("cached_percent", { percent: number(hub.cached_percent) }))]
      : []),
    tile("requests", number(hub.requests ?? 0), tokens),
    tile("first_token", duration(hub.first_token_p50_ms), t("first_token_hint")),
    tile("errors", number(hub.errors ?? 0), t("limit_hits", { count: number(hub.limit_hits ?? 0) })),
  );
  const budgets = [["daily_budget", hub.cost_today], ["monthly_budget", hub.cost_month]].filter(([name]) => Number(hub[name]) > 0);
  byId("budgets").replaceChildren(...budgets.map(([name, spent]) => {
    const percent = (100 * Number(spent ?? 0)) / Number(hub[name]);
    const text = t(name, { spent: money(spent ?? 0), budget: money(hub[name]) });
    return el("div", "", el("span", "quiet", text), bar(percent, text));
  }));
}

function drawProvider(provider) {
  const facts = [
    provider.models ? t("models_count", { count: number(provider.models) }) : null,
    provider.latency_ms ? t("latency", { time: duration(provider.latency_ms) }) : null,
    provider.local ? t("local") : null,
    provider.cooldown ? t("cooldown", { time: duration(1000 * provider.cooldown) }) : null,
  ].filter(Boolean).map((fact) => el("span", "", fact));
  return el("li", "",
    el("div", "line", el("span", "", provider.name), tag(provider.state)),
    facts.length ? el("div", "facts", ...facts) : "",
    provider.message ? el("p", "why", provider.message) : "");
}

function drawDevice(device) {
  const state = device.enabled === false ? "disabled" : device.rate_limited ? "limited" : null;
  const percent = Number(device.budget_percent ?? 0);
  const text = t("budget_used", { percent: number(percent) });
  const facts = [
    t("requests_count", { count: number(device.requests ?? 0) }),
    t("today_month", { today: money(device.cost_today ?? 0), month: money(device.cost_month ?? 0) }),
    device.cached_percent > 0 ? t("cached_percent", { percent: number(device.cached_percent) }) : null,
    device.model && device.model !== "auto" ? device.model : device.profile ? t("profile", { profile: device.profile }) : null,
  ].filter(Boolean).map((fact) => el("span", "", fact));
  return el("li", "",
    el("div", "line", el("span", "", device.name || device.id), state ? tag(state === "limited" ? "degraded" : "disabled", label(state)) : "", el("span", "quiet", ago(device.last_seen))),
    el("div", "facts", ...facts),
    device.last_model ? el("p", "why", t("last_model", { model: device.last_model })) : "",
    percent > 0 ? el("div", "", el("span", "quiet", text), bar(percent, text)) : "");
}

function drawRequest(row) {
  const failed = row.status >= 400;
  const tokens = (row.prompt_tokens ?? 0) + (row.completion_tokens ?? 0);
  const facts = [
    row.device_id,
    tokens ? t("tokens", { count: number(tokens) }) : null,
    duration(row.latency_ms),
    row.cost_usd === null || row.cost_usd === undefined || (failed && !tokens) ? null : usd(row.cost_usd),
  ].filter(Boolean).map((fact) => el("span", "", fact));
  return el("li", "",
    el("div", "line", el("span", "", row.routed_model || row.model || "–"), failed ? tag("error", `${row.status}${row.error ? ` ${row.error}` : ""}`) : "", el("span", "quiet", ago(row.timestamp))),
    el("div", "facts", ...facts),
    row.reason ? el("p", "why", row.reason) : "");
}

/* The books are in US dollars, whatever currency the totals are shown in. */
function usd(value) {
  const amount = Number(value);
  if (amount === 0) return t("free");
  const style = { style: "currency", currency: "USD", currencyDisplay: "narrowSymbol", maximumFractionDigits: amount < 0.01 ? 6 : 2 };
  return new Intl.NumberFormat(lang, style).format(amount);
}

function drawModel(model) {
  const known = model.input !== null && model.input !== undefined;
  const free = known && Number(model.input) === 0 && Number(model.output) === 0;
  const facts = [
    free ? t("free") : known ? t("price", { input: usd(model.input), output: usd(model.output) }) : t("price_unknown"),
    model.context ? t("context", { count: compact(model.context) }) : null,
    model.quality ? t("quality", { value: number(model.quality) }) : null,
    model.local ? t("local") : null,
    ...(model.capabilities ?? []),
  ].filter(Boolean).map((fact) => el("span", "", fact));
  return el("li", "", el("div", "line", el("span", "", model.id)), el("div", "facts", ...facts));
}

/* What the dial means at a place, before anybody sets it there. */
function drawDial({ hub, forecast }) {
  const dial = byId("dial");
  if (!dial.dataset.moved) dial.value = hub.cost_quality ?? 5;
  const at = Number(dial.value);
  const step = forecast?.steps.find((one) => one.cost_quality === at);
  const values = { at: number(at), scored: number(forecast?.scored ?? 0), requests: number(forecast?.requests ?? 0) };
  const known = step && step.answers_percent !== null;
  const told = known ? t("dial_said", { ...values, answers: number(step.answers_percent), price: number(step.price_percent) }) : t("dial_few", values);
  const text = at === Number(hub.cost_quality) ? `${told} ${t("dial_now")}` : told;
  if (byId("dial-said").textContent !== text) byId("dial-said").textContent = text;
}

/* ---- how to connect ---- */

function field(name, value, copyable) {
  const cell = copyable ? el("dd", "", el("code", "", value)) : el("dd", "", el("span", "", value));
  if (copyable) {
    const button = el("button", "", t("copy"));
    button.type = "button";
    button.setAttribute("aria-label", t("copy_what", { what: t(name) }));
    button.addEventListener("click", () => copy(value, button));
    cell.append(button);
  }
  return [el("dt", "", t(name)), cell];
}

async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    /* Home Assistant over plain HTTP has no clipboard; the old way still works. */
    const area = document.body.appendChild(el("textarea", "hidden"));
    area.value = text;
    area.select();
    document.execCommand("copy");
    area.remove();
    button.focus();
  }
  button.textContent = t("copied");
  byId("said").textContent = t("copied");
  setTimeout(() => { button.textContent = t("copy"); byId("said").textContent = ""; }, 2000);
}

/* The name in the address bar, unless it is that of a tunnel, which does not lead to the port. */
function lanHost(reach) {
  const here = location.hostname;
  const local = /^[\d.]+$|^\[|\.(local|lan|home|internal|fritz\.box|home\.arpa)$|^[^.]+$/.test(here);
  return local && here ? here : reach.lan_host || "homeassistant.local";
}

let connected = "";
function drawConnect({ reach }) {
  const host = lanHost(reach);
  const inside = reach.internal_host ? `http://${reach.internal_host}:4000/v1` : "";
  const url = reach.port ? `http://${host}:${reach.port}/v1` : "";
  const key = reach.keys ? "cr-…" : "not-needed";
  const made = JSON.stringify([url, inside, reach.keys, lang]);
  if (made === connected) return;
  connected = made;
  byId("connect").replaceChildren(
    ...(url ? field("base_url", url, true) : field("base_url", t("port_closed"), false)),
    ...(inside ? field("base_url_inside", inside, true) : []),
    ...field("api_key", reach.keys ? t("key_needed") : t("key_open"), false),
    ...field("model", "blockrun/auto", true),
  );
  const target = url || inside;
  byId("curl").textContent = `curl ${target}/chat/completions \\
  -H 'content-type: application/json' \\${reach.keys ? `\n  -H 'authorization: Bearer ${key}' \\` : ""}
  -d '{"model": "blockrun/auto",
       "messages": [{"role": "user", "content": "Hello"}]}'`;
  byId("python").textContent = `from openai import OpenAI

client = OpenAI(base_url="${target}", api_key="${key}")
reply = client.chat.completions.create(
    model="blockrun/auto",
    messages=[{"role": "user", "content": "Hello"}],
)
print(reply.choices[0].message.content)`;
}

/* ---- all of it ---- */

function draw() {
  drawHeader(latest);
  drawSpend(latest);
  rows("providers", latest.providers, drawProvider, "providers_none");
  drawDial(latest);
  rows("devices", latest.devices, drawDevice, "devices_none");
  rows("recent", latest.recent, drawRequest, "recent_none");
  byId("models-count").textContent = t("models_count", { count: number(latest.models.length) });
  if (byId("models-more").open) rows("models", latest.models, drawModel, "models_none");
  drawConnect(latest);
  byId("updated").textContent = t("updated", { time: new Intl.DateTimeFormat(lang, { timeStyle: "medium" }).format(new Date(latest.now)) });
}

function show(status) {
  latest = status;
  byId("offline").hidden = true;
  draw();
  document.body.dataset.ready = "1";
}

function translate() {
  document.documentElement.lang = lang;
  for (const node of document.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  const { name } = byId("visitor").dataset;
  byId("visitor").textContent = name ? `· ${t("signed_in", { name })}` : "";
  connected = "";
}

/* Home Assistant's own language, where this page sits in its frame; else the browser's, which the server went by. */
async function followHomeAssistant() {
  let wanted = "";
  try {
    wanted = (parent !== window && parent.document.documentElement.lang || "").toLowerCase().split("-")[0];
  } catch { /* another origin: not ours to read */ }
  if (!wanted || wanted === lang || !holder.dataset.languages.split(" ").includes(wanted)) return;
  const answer = await fetch(`strings/${wanted}.json`);
  if (!answer.ok) return;
  words = await answer.json();
  lang = wanted;
  translate();
  if (latest) draw();
}

async function poll() {
  try {
    const answer = await fetch("status.json");
    if (!answer.ok) throw new Error(String(answer.status));
    show(await answer.json());
  } catch {
    byId("offline").textContent = t("offline");
    byId("offline").hidden = false;
  }
}

/* Pushes while the socket lives; questions every few seconds, and new attempts ever more seldom, while it does not. */
function listen(wait = 1000) {
  let socket;
  try {
    socket = new WebSocket(new URL("live", document.baseURI).href.replace(/^http/, "ws"));
  } catch {
    return;
  }
  socket.binaryType = "arraybuffer";
  socket.addEventListener("message", ({ data }) => {
    wait = 1000;
    stale = 0;
    show(JSON.parse(new TextDecoder().decode(data)));
  });
  socket.addEventListener("close", () => {
    stale = 1;
    poll();
    setTimeout(listen, wait, Math.min(60000, wait * 2));
  });
}

/* The one thing that can be changed here. A page from elsewhere cannot send this header without being asked first. */
async function acknowledge() {
  const button = byId("problems-read");
  button.disabled = true;
  try {
    await fetch("problems/ack", { method: "POST", headers: { "X-Requested-With": "cheaprouter" } });
  } catch { /* the next look says whether it was done */ }
  button.disabled = false;
  poll();
}

function theme() {
  const select = byId("theme");
  const apply = (value) => {
    if (value) document.documentElement.dataset.theme = value;
    else delete document.documentElement.dataset.theme;
  };
  try { select.value = localStorage.getItem("cheaprouter-theme") ?? ""; } catch { /* no storage: automatic */ }
  apply(select.value);
  select.addEventListener("change", () => {
    apply(select.value);
    try { localStorage.setItem("cheaprouter-theme", select.value); } catch { /* kept for this visit only */ }
  });
}

theme();
translate();
byId("problems-read").addEventListener("click", acknowledge);
byId("dial").addEventListener("input", ({ target }) => { target.dataset.moved = "1"; if (latest) drawDial(latest); });
byId("models-more").addEventListener("toggle", () => latest && draw());
setInterval(() => { if (stale && !document.hidden) poll(); }, 5000);
followHomeAssistant();
poll();
listen();

// The engine room: figures once a second, the burst, and the button that kills a worker.

import {Refused, call, complain} from "./api.js"
import {inFull, inShort} from "./kinds.js"

const IDLE_MS = 1_000
const BUSY_MS = 300
const SOON_MS = 100
const KILL_LIMIT_MS = 15_000 // the page first asks Celery which process drains
const KEPT = 60
const VERDICT = {
  running: "The burst is under way.",
  settling: "All acknowledged. Some are not in PostgreSQL yet.",
  lost: "PostgreSQL lacks acknowledged reactions, and nothing is pending. This is a defect.",
  failed: "The burst failed. The log of the page says why.",
}

const find = selector => document.querySelector(selector)
const history = {}
let burst = {state: "none", size: 0, acknowledged: 0, durable: 0}
let timer

const ms = value => value < 10 ? `${value.toFixed(2)} ms` : value < 1_000 ? `${Math.round(value)} ms` : `${(value / 1_000).toFixed(1)} s`
const FORMS = {
  reactions_per_s: value => inShort(Math.round(value)),
  durable_per_s: value => inShort(Math.round(value)),
  react_p50_ms: ms,
  react_p99_ms: ms,
  lag_p50_ms: ms,
  lag_p99_ms: ms,
  oldest_s: value => value ? ms(value * 1_000) : "–",
  pending: inShort,
  cache_hits: value => `${(100 * value).toFixed(value === 1 ? 0 : 1)} %`,
}

export function watch() {
  const cells = Array.from({length: 100}, (_, shard) => {
    const cell = document.createElement("i")
    cell.title = `Shard ${shard}`
    cell.dataset.level = 0
    return cell
  })
  find("#shards").replaceChildren(...cells)
  find("#burst").addEventListener("click", () => start().catch(complain))
  find("#kill").addEventListener("click", () => kill().catch(complain))
  document.addEventListener("visibilitychange", refresh)
  refresh()
}

/** Returns whether the service answered. The next request follows soon. */
async function refresh() {
  clearTimeout(timer)
  if (document.hidden) return true
  const seen = await call("GET", "/room").catch(() => null)
  find("#room-state").textContent = seen ? "This very stack, live" : "No answer: old figures"
  if (seen) {
    show(seen.figures)
    prove(seen.burst)
    link(seen.flower)
  }
  clearTimeout(timer)
  timer = setTimeout(refresh, underWay() ? BUSY_MS : IDLE_MS)
  return seen !== null
}

const underWay = () => burst.state === "running" || burst.state === "settling"

function show(figures) {
  for (const element of document.querySelectorAll("[data-figure]")) {
    const value = figures[element.dataset.figure]
    element.textContent = value === null ? "–" : FORMS[element.dataset.figure](value)
  }
  for (const element of document.querySelectorAll("[data-spark]")) draw(element, figures[element.dataset.spark] ?? 0)
  shards(figures)
  tiers(figures.tiers ?? {})
  find("#hits").style.width = `${100 * (figures.cache_hits ?? 0)}%`
}

function link(flower) {
  find("#flower").hidden = flower === null
  if (flower) find("#flower").href = flower
}

function draw(element, value) {
  const kept = history[element.dataset.spark] ??= []
  kept.push(value)
  if (kept.length > KEPT) kept.shift()
  const most = Math.max(1, ...kept)
  const line = kept.map((one, place) => `${120 - 2 * (kept.length - 1 - place)} ${31 - 29 * one / most}`).join("L")
  element.querySelector(".line").setAttribute("d", `M${line}`)
  element.querySelector(".area").setAttribute("d", `M${122 - 2 * kept.length} 32L${line}L120 32Z`)
}

function shards({shards: pending, leased}) {
  if (!pending) return
  const strip = find("#shards")
  pending.forEach((posts, shard) => {
    const cell = strip.children[shard]
    cell.dataset.level = Math.min(4, posts)
    cell.title = posts ? `Shard ${shard}: ${posts} ${posts === 1 ? "post" : "posts"} with changes to save` : `Shard ${shard}: all saved`
    cell.classList.toggle("leased", leased.includes(shard))
  })
  const some = pending.filter(posts => posts > 0).length
  strip.ariaLabel = some ? `${some} of 100 shards have changes that are not saved yet` : "All 100 shards are saved"
}

function tiers(found) {
  const there = Object.entries(found).filter(([, posts]) => posts > 0)
  const words = there.map(([tier, posts]) => `${inFull(posts)} ${tier}`)
  find("#tiers").ariaLabel = words.length ? `Posts: ${words.join(", ")}` : "No posts yet"
  if (find("#tiers").dataset.shown === words.join()) return
  find("#tiers").dataset.shown = words.join()
  find("#tiers").replaceChildren(...there.map(([tier, posts]) => {
    const part = document.createElement("span")
    part.dataset.tier = tier
    part.style.flexGrow = posts
    return part
  }))
  find("#tiers-key").replaceChildren(...there.map(([tier], place) => {
    const entry = document.createElement("em")
    const spot = document.createElement("i")
    spot.dataset.tier = tier
    entry.append(spot, words[place])
    return entry
  }))
}

function prove(state) {
  burst = state
  const {acknowledged, durable, size} = burst
  find("#acknowledged").textContent = inFull(acknowledged)
  find("#durable").textContent = durable === null ? "–" : inFull(durable)
  find("#race-acknowledged").style.width = `${100 * acknowledged / size}%`
  find("#race-durable").style.width = `${100 * (durable ?? 0) / size}%`
  find("#burst").setAttribute("aria-disabled", String(underWay()))
  const verdict = find("#verdict")
  if (burst.state === "none" || verdict.dataset.state === burst.state) return
  verdict.dataset.state = burst.state
  verdict.textContent = burst.state === "verified"
    ? `All ${inFull(acknowledged)} acknowledged reactions are in PostgreSQL, each as it was given. None is lost.`
    : VERDICT[burst.state]
}

async function start() {
  if (underWay()) return
  const {started} = await call("POST", "/room/burst")
  if (started) note("A burst of 5,000 reactions began.")
  await refresh()
}

/** Kills a worker in the middle of a burst, when there is something to lose. */
async function kill() {
  if (!underWay()) await start()
  while (burst.state === "running" && burst.acknowledged < burst.size / 10) {
    await new Promise(resolve => { setTimeout(resolve, SOON_MS) })
    if (!await refresh()) throw new Refused("The service does not answer, so no worker was killed.")
  }
  const {pid, drained} = await call("POST", "/room/kill", {limit: KILL_LIMIT_MS})
  note(`kill -9 of worker process ${pid}${drained ? ", in the middle of a drain" : ""}. Celery starts another.`)
}

function note(words) {
  const log = find("#log")
  const line = document.createElement("li")
  const when = document.createElement("time")
  when.textContent = new Date().toLocaleTimeString("en-GB")
  line.append(when, ` ${words}`)
  log.prepend(line)
  while (log.children.length > 4) log.lastElementChild.remove()
  log.hidden = false
}

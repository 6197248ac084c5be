// Assembles the page: the visitor, the feed with its stream, and the engine room.

import {call, complain} from "./api.js"
import {become, visitor, visitors} from "./people.js"
import {Post} from "./post.js"
import {watch} from "./room.js"

const RETRY_MS = 3_000
const WORDS = {on: "Live", off: "Connecting"}

let posts = new Map()
let stream

function meet() {
  const select = document.querySelector("#visitor")
  select.append(...visitors.map(({id, name}) => new Option(name, id)))
  select.value = visitor().id
  become(visitor().id)
  select.addEventListener("change", () => {
    become(select.value)
    own().catch(complain)
  })
}

const query = () => new URLSearchParams([...posts.keys()].map(id => ["post_id", id]))

/** Builds the posts, with the visitor's own reactions. */
async function fill() {
  const written = await call("GET", "posts.json")
  const ids = new URLSearchParams(written.map(post => ["post_id", post.id]))
  const {items} = await call("GET", `/v1/summaries?${ids}`)
  posts = new Map(written.map((post, place) => {
    const made = new Post(post, Object.keys(items[place].counts))
    made.showOwn(items[place].reaction)
    made.show(items[place])
    return [made.id, made]
  }))
  document.querySelector("#feed").replaceChildren(...[...posts.values()].map(post => post.element))
}

async function own() {
  const {items} = await call("GET", `/v1/summaries?${query()}`)
  for (const item of items) posts.get(item.post_id).showOwn(item.reaction)
}

/** Shows counts as they change. A browser reconnects by itself, but not after an HTTP error. */
function listen() {
  stream = new EventSource(`/v1/stream?${query()}`)
  stream.onopen = () => { live("on") }
  stream.onmessage = event => {
    for (const item of JSON.parse(event.data).items) posts.get(item.post_id).show(item)
  }
  stream.onerror = () => {
    live("off")
    if (stream.readyState === EventSource.CLOSED) setTimeout(listen, RETRY_MS)
  }
}

function live(state) {
  const shown = document.querySelector("#live")
  shown.dataset.state = state
  shown.querySelector(".word").textContent = WORDS[state]
}

async function begin() {
  try {
    await fill()
    listen()
  } catch (error) {
    setTimeout(begin, RETRY_MS)
    complain(error)
  }
}

meet()
watch()
begin()

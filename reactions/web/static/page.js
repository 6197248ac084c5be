// Assembles the page: the visitor, the feed with its stream, and the engine room.

import {call, complain} from "./api.js"
import {learn} from "./kinds.js"
import {follow} from "./live.js"
import {become, visitor, visitors} from "./people.js"
import {Post} from "./post.js"
import {watch} from "./room.js"

const RETRY_MS = 3_000
const AGREE_MS = 250

let posts = new Map()
let asking = false
let stale = false

function meet() {
  const select = document.querySelector("#visitor")
  select.append(...visitors.map(({id, name}) => new Option(name, id)))
  select.value = visitor().id
  become(visitor().id)
  select.addEventListener("change", () => {
    become(select.value)
    for (const post of posts.values()) post.forget()
    own().catch(complain)
  })
}

const query = () => new URLSearchParams([...posts.keys()].map(id => ["post_id", id]))

/** Builds the posts, with the visitor's own reactions. */
async function fill() {
  learn((await call("GET", "/v1/types")).items)
  const written = await call("GET", "posts.json")
  const ids = new URLSearchParams(written.map(post => ["post_id", post.id]))
  const {items} = await call("GET", `/v1/summaries?${ids}`)
  posts = new Map(written.map((post, place) => {
    const made = new Post(post, items[place], agree)
    return [made.id, made]
  }))
  document.querySelector("#feed").replaceChildren(...[...posts.values()].map(post => post.element))
}

/** Shows counts and own reactions, except of posts that the visitor tapped in the meantime. */
async function own() {
  const by = visitor().id
  const taps = new Map([...posts].map(([id, post]) => [id, post.taps]))
  const {items} = await call("GET", `/v1/summaries?${query()}`, {by})
  if (by !== visitor().id) return
  for (const item of items) posts.get(item.post_id).agree(item, taps.get(item.post_id))
}

/**
 * Asks for own reactions, at most four times a second. The stream does not have them, and the visitor may
 * react in another tab.
 */
async function agree() {
  stale = true
  if (asking) return
  asking = true
  while (stale) {
    stale = false
    await own().catch(() => {}) // asked again when the stream is live again
    await new Promise(resolve => { setTimeout(resolve, AGREE_MS) })
  }
  asking = false
}

function change(items) {
  for (const item of items) posts.get(item.post_id).show(item)
  agree()
}

/** Shows the types as they are now: one may be new, renamed, retired or described anew. */
function types(items) {
  if (!learn(items)) return
  for (const post of posts.values()) post.offer()
  agree()
}

async function begin() {
  try {
    await fill()
    follow(query(), {change, types, back: agree})
  } catch (error) {
    setTimeout(begin, RETRY_MS)
    complain(error)
  }
}

meet()
watch()
begin()

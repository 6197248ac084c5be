// The dialog with who reacted, by type, page after page.

import {call, complain} from "./api.js"
import {icon, inShort, labelOf} from "./kinds.js"
import {nameOf, visitor} from "./people.js"

const PAGE = 25
const sheet = document.querySelector("#sheet")
const list = sheet.querySelector("ul")
const more = sheet.querySelector(".more")
const kinds = sheet.querySelector(".kinds")
let shown = {}

export function openSheet(post) {
  sheet.querySelector("#sheet-of").textContent = `${post.author}'s post`
  const there = Object.entries(post.shown.counts).filter(([, number]) => number > 0)
  kinds.replaceChildren(
    filter(post, null, post.shown.total),
    ...there.map(([kind, number]) => filter(post, kind, number)),
  )
  sheet.showModal()
  kinds.firstElementChild.click()
}

function filter(post, kind, number) {
  const made = document.createElement("button")
  made.type = "button"
  if (kind) made.append(icon(kind))
  made.append(kind ? inShort(number) : `All ${inShort(number)}`)
  made.setAttribute("aria-label", `${kind ? labelOf(kind) : "All"}: ${inShort(number)}`)
  made.addEventListener("click", () => {
    for (const other of kinds.children) other.setAttribute("aria-pressed", String(other === made))
    shown = {post, kind, cursor: null}
    list.replaceChildren()
    next()
  })
  return made
}

async function next() {
  const requested = shown
  const query = new URLSearchParams({limit: PAGE})
  if (requested.kind) query.set("reaction", requested.kind)
  if (requested.cursor) query.set("cursor", requested.cursor)
  try {
    const page = await call("GET", `/v1/posts/${requested.post.id}/reactors?${query}`)
    if (requested !== shown) return // the visitor chose another type in the meantime
    list.append(...page.items.map(entry))
    shown.cursor = page.cursor
    more.hidden = page.cursor === null
  } catch (error) {
    sheet.close()
    complain(error)
  }
}

function entry({user_id: id, reaction}) {
  const made = document.createElement("li")
  const name = document.createElement("span")
  const avatar = document.createElement("span")
  avatar.className = "avatar small"
  avatar.dataset.hue = Number(BigInt(id) % 8n)
  avatar.ariaHidden = "true"
  avatar.append(nameOf(id)[0], icon(reaction))
  name.textContent = id === visitor().id ? `${nameOf(id)} (you)` : nameOf(id)
  const kind = document.createElement("span")
  kind.className = "note"
  kind.textContent = labelOf(reaction)
  made.append(avatar, name, kind)
  return made
}

more.addEventListener("click", next)
sheet.querySelector(".close").addEventListener("click", () => sheet.close())
sheet.addEventListener("click", event => {
  if (event.target === sheet) sheet.close() // on the backdrop
})

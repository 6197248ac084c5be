// The dialog with who reacted, by type, page after page.

import {call, complain} from "./api.js"
import {icon, inShort, labelOf} from "./kinds.js"
import {nameOf, visitor} from "./people.js"

const PAGE = 25
const sheet = document.querySelector("#sheet")
const list = sheet.querySelector("ul")
const more = sheet.querySelector(".more")
const kinds = sheet.querySelector(".kinds")
let shown = {} // one list: its post and type, the next cursor, the users that it has

export function openSheet(post) {
  sheet.querySelector("#sheet-of").textContent = `${post.author}'s post`
  const {counts, total} = post.shown
  const there = Object.entries(counts).filter(([, number]) => number > 0)
  kinds.replaceChildren(
    filter(post, null, total),
    ...there.map(([kind, number]) => filter(post, kind, number)),
  )
  sheet.showModal()
  kinds.scrollLeft = 0
  edges()
  kinds.firstElementChild.click()
}

function filter(post, kind, number) {
  const made = document.createElement("button")
  made.type = "button"
  if (kind) made.append(icon(kind))
  made.append(kind ? inShort(number) : `All ${inShort(number)}`)
  made.setAttribute("aria-label", `${kind ? labelOf(kind) : "All"} ${inShort(number)}`)
  made.addEventListener("click", () => {
    for (const other of kinds.children) other.setAttribute("aria-pressed", String(other === made))
    shown = {post, kind, cursor: null, users: new Set(), loading: false}
    more.hidden = true
    list.replaceChildren()
    list.scrollTop = 0
    next()
  })
  return made
}

/** Adds the next page, one at a time. */
async function next() {
  const into = shown
  if (into.loading) return
  into.loading = true
  const query = new URLSearchParams({limit: PAGE})
  if (into.kind) query.set("reaction", into.kind)
  if (into.cursor) query.set("cursor", into.cursor)
  try {
    const page = await call("GET", `/v1/posts/${into.post.id}/reactors?${query}`)
    if (into !== shown) return // the visitor chose another list in the meantime
    const fresh = page.items.filter(({user_id: id}) => !into.users.has(id)) // one may react again
    for (const {user_id: id} of fresh) into.users.add(id)
    list.append(...fresh.map(entry))
    into.cursor = page.cursor
    more.hidden = page.cursor === null
  } catch (error) {
    if (into !== shown) return
    sheet.close()
    complain(error)
  } finally {
    into.loading = false
  }
}

/** Marks the ends of the filters beyond which there are more. */
function edges() {
  const left = kinds.scrollWidth - kinds.clientWidth - kinds.scrollLeft
  kinds.parentElement.toggleAttribute("data-before", kinds.scrollLeft > 1)
  kinds.parentElement.toggleAttribute("data-after", left > 1)
}

function entry({user_id: id, reaction}) {
  const made = document.createElement("li")
  made.dataset.user = id
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
kinds.addEventListener("scroll", edges)
new ResizeObserver(edges).observe(kinds)
sheet.addEventListener("close", () => { shown = {} })
sheet.querySelector(".close").addEventListener("click", () => sheet.close())
sheet.addEventListener("click", event => {
  if (event.target === sheet) sheet.close() // on the backdrop
})

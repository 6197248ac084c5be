// One post of the feed with its reaction bar.

import {call, complain, say} from "./api.js"
import {icon, iconOf, inFull, inShort, labelOf, reactions} from "./kinds.js"
import {picker} from "./picker.js"
import {openSheet} from "./sheet.js"

const template = document.querySelector("#post")
const still = matchMedia("(prefers-reduced-motion: reduce)")

export class Post {
  constructor(written, kinds) {
    this.id = String(written.id)
    this.author = written.author
    this.counts = {}
    this.own = null
    this.sending = Promise.resolve()
    this.element = template.content.firstElementChild.cloneNode(true)
    this.write(written)
    this.bar(kinds)
  }

  find(selector) {
    return this.element.querySelector(selector)
  }

  write(written) {
    const {element} = this
    element.dataset.post = this.id
    const author = this.find(".author")
    author.id = `author-${this.id}`
    author.textContent = written.author
    element.setAttribute("aria-labelledby", author.id)
    this.find(".when").textContent = `${written.when} ago`
    this.find(".text").textContent = written.text
    const avatar = this.find(".avatar")
    avatar.textContent = written.author.split(" ").map(part => part[0]).join("")
    avatar.dataset.hue = written.id % 8
    if (written.picture) {
      const picture = this.find(".picture")
      picture.src = written.picture
      picture.alt = written.shows
      picture.hidden = false
    }
  }

  bar(kinds) {
    this.find(".bar").setAttribute("aria-label", `Reactions to ${this.author}'s post`)
    this.mark = picker(this.find(".chooser"), kinds, {
      choose: kind => this.choose(kind === this.own ? null : kind),
      tap: () => this.choose(this.own ? null : kinds[0]),
    })
    this.chips = new Map(kinds.map(kind => [kind, this.chip(kind)]))
    this.find(".chips").append(...this.chips.values())
    this.find(".total").addEventListener("click", () => openSheet(this))
  }

  chip(kind) {
    const made = document.createElement("button")
    made.type = "button"
    made.className = "chip"
    made.dataset.kind = kind
    made.hidden = true
    made.append(icon(kind), document.createElement("span"))
    made.addEventListener("click", () => this.choose(kind === this.own ? null : kind))
    return made
  }

  /** Shows the counts, which are the same for everyone. The stream sends full values. */
  show({counts, total, tier}) {
    for (const [kind, chip] of this.chips) {
      const number = counts[kind] ?? 0
      const was = this.counts[kind]
      chip.lastChild.textContent = inShort(number)
      chip.hidden = number === 0 && kind !== this.own
      if (was !== undefined && number > was) jump(chip)
    }
    this.counts = counts
    this.total = total
    this.find(".viral").hidden = tier !== "viral"
    const words = this.find(".total .words")
    words.textContent = total ? reactions(total) : "No reactions yet"
    this.find(".total").disabled = total === 0
    this.find(".total").setAttribute("aria-label", total ? `${reactions(total)}: see who` : "No reactions yet")
    this.faces()
    this.label()
  }

  /** Shows the three most frequent types. */
  faces() {
    const most = Object.entries(this.counts).filter(([, number]) => number > 0)
      .sort((one, other) => other[1] - one[1]).slice(0, 3).map(([kind]) => kind)
    const faces = this.find(".faces")
    if (faces.dataset.kinds === most.join()) return
    faces.dataset.kinds = most.join()
    faces.replaceChildren(...most.map(icon))
  }

  /** Shows the visitor's own reaction. Null means none. */
  showOwn(own) {
    this.own = own
    this.mark(own)
    const button = this.find(".react")
    button.dataset.own = own ?? ""
    button.querySelector("svg").toggleAttribute("hidden", own !== null)
    const image = button.querySelector("img")
    image.hidden = own === null
    if (own) image.src = iconOf(own)
    button.querySelector(".words").textContent = own ? labelOf(own) : "React"
    this.label()
  }

  label() {
    for (const [kind, chip] of this.chips) {
      const own = kind === this.own
      const number = this.counts[kind] ?? 0
      chip.hidden = number === 0 && !own
      chip.setAttribute("aria-pressed", String(own))
      chip.setAttribute("aria-label", `${labelOf(kind)}: ${inFull(number)}${own ? ", with yours" : ""}`)
    }
    const said = this.own ? `Your reaction: ${labelOf(this.own)}. Change it` : "React"
    this.find(".react").setAttribute("aria-label", said)
  }

  /** Shows the choice at once, and sends it to the service after all earlier choices. */
  choose(kind) {
    const counts = {...this.counts}
    if (this.own) counts[this.own] = Math.max(0, (counts[this.own] ?? 0) - 1)
    if (kind) counts[kind] = (counts[kind] ?? 0) + 1
    const total = Object.values(counts).reduce((sum, number) => sum + number, 0)
    const tier = this.find(".viral").hidden ? "regular" : "viral"
    this.showOwn(kind)
    this.show({counts, total, tier})
    this.sending = this.sending.then(() => this.send(kind))
  }

  async send(kind) {
    const path = `/v1/posts/${this.id}/reaction`
    try {
      await (kind ? call("PUT", path, {reaction: kind}) : call("DELETE", path))
      const post = `${this.author}'s post`
      say(kind ? `You reacted with ${labelOf(kind)} to ${post}.` : `You took your reaction off ${post}.`)
    } catch (error) {
      complain(error)
      await this.refresh().catch(complain)
    }
  }

  /** Shows what the service has. */
  async refresh() {
    const {items: [summary]} = await call("GET", `/v1/summaries?post_id=${this.id}`)
    this.showOwn(summary.reaction)
    this.show(summary)
  }
}

function jump(element) {
  if (!still.matches && !element.hidden) {
    element.firstChild.animate([{transform: "scale(1.25)"}, {transform: "none"}], {duration: 200, easing: "ease-out"})
  }
}

// One post of the feed with its reaction bar.

import {call, complain, say} from "./api.js"
import {icon, inFull, inShort, isGiven, labelOf, reactions} from "./kinds.js"
import {visitor} from "./people.js"
import {picker} from "./picker.js"
import {openSheet} from "./sheet.js"

const template = document.querySelector("#post")
const still = matchMedia("(prefers-reduced-motion: reduce)")

export class Post {
  /**
   * @param summary counts, total, tier and the visitor's own reaction, as the service has them
   * @param agree asks the service for them again
   */
  constructor(written, summary, agree) {
    this.id = written.id
    this.author = written.author
    this.askAgain = agree
    this.known = summary
    this.guess = null // what the service should have once it answers
    this.taps = 0
    this.element = template.content.firstElementChild.cloneNode(true)
    this.write(written)
    this.bar()
    this.offer()
  }

  get shown() {
    return this.guess ?? this.known
  }

  get own() {
    return this.shown.reaction
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
    avatar.dataset.hue = Number(BigInt(written.id) % 8n)
    if (written.picture) {
      const picture = this.find(".picture")
      picture.src = written.picture
      picture.alt = written.shows
      picture.hidden = false
    }
  }

  bar() {
    this.find(".bar").setAttribute("aria-label", `Reactions to ${this.author}'s post`)
    this.menu = picker(this.find(".chooser"), {
      choose: kind => this.choose(kind === this.own ? null : kind),
      tap: () => this.own ? false : this.choose(this.given[0]),
    })
    this.find(".total").addEventListener("click", () => openSheet(this))
  }

  /** Offers the types that may be given, and has a chip for each type. */
  offer() {
    const kinds = Object.keys(this.shown.counts)
    this.given = kinds.filter(isGiven)
    this.menu.offer(this.given)
    this.chips = new Map(kinds.map(kind => [kind, this.chip(kind)]))
    this.find(".chips").replaceChildren(...this.chips.values())
    delete this.find(".faces").dataset.kinds
    this.render()
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

  /** Takes the counts, which are the same for everyone. The stream sends full values. */
  show(values) {
    this.known = {...this.known, ...values}
    this.render()
  }

  /** Takes what the service has for the visitor, unless the visitor tapped since it was asked. */
  agree(summary, taps) {
    if (this.guess || taps !== this.taps) return
    this.known = summary
    this.render()
  }

  /** Forgets the own reaction: there is another visitor. */
  forget() {
    this.taps += 1
    this.guess = null
    this.known = {...this.known, reaction: null}
    this.render()
  }

  render() {
    const {counts, total, tier} = this.shown
    if (Object.keys(counts).join() !== [...this.chips.keys()].join()) return this.offer() // new names
    for (const [kind, chip] of this.chips) this.fillChip(chip, kind, counts[kind] ?? 0)
    this.find(".viral").hidden = tier !== "viral"
    const words = total ? reactions(total) : "No reactions yet"
    this.find(".total .words").textContent = words
    this.find(".total").disabled = total === 0
    this.find(".total").setAttribute("aria-label", total ? `${words}: see who` : words)
    this.faces(counts)
    this.button()
  }

  fillChip(chip, kind, number) {
    const own = kind === this.own
    const was = Number(chip.dataset.number ?? number)
    chip.dataset.number = number
    chip.lastChild.textContent = inShort(number)
    chip.hidden = number === 0 && !own
    chip.disabled = !own && !isGiven(kind) // it can only be taken away
    chip.setAttribute("aria-pressed", String(own))
    chip.setAttribute("aria-label", `${labelOf(kind)}: ${inFull(number)}${own ? ", with yours" : ""}`)
    if (number > was) jump(chip)
  }

  /** Shows the three most frequent types. */
  faces(counts) {
    const most = Object.entries(counts).filter(([, number]) => number > 0)
      .sort((one, other) => other[1] - one[1]).slice(0, 3).map(([kind]) => kind)
    const faces = this.find(".faces")
    if (faces.dataset.kinds === most.join()) return
    faces.dataset.kinds = most.join()
    faces.replaceChildren(...most.map(icon))
  }

  /** The chip shows the own reaction, so the button only says what it does. */
  button() {
    const {own} = this
    this.menu.mark(own)
    const button = this.find(".react")
    button.querySelector(".words").textContent = own ? "Change" : "React"
    button.setAttribute("aria-label", own ? `Change your reaction: ${labelOf(own)}` : "React")
  }

  /** Shows the choice at once, and sends it to the service. Returns true. */
  choose(kind) {
    const counts = {...this.shown.counts}
    if (this.own) counts[this.own] = Math.max(0, (counts[this.own] ?? 0) - 1)
    if (kind) counts[kind] = (counts[kind] ?? 0) + 1
    const total = Object.values(counts).reduce((sum, number) => sum + number, 0)
    this.taps += 1
    this.guess = {...this.shown, counts, total, reaction: kind, by: visitor().id}
    this.render()
    this.sending ??= this.send()
    return true
  }

  /** Sends the newest choice, until the service has it. Without an answer, the choice is undone. */
  async send() {
    while (this.guess) {
      const sent = this.guess
      try {
        await this.put(sent.reaction, sent.by)
        if (sent.by === visitor().id) this.known = sent
      } catch (error) {
        this.guess = null
        complain(error)
      }
      if (this.guess === sent) this.guess = null
    }
    this.sending = undefined
    this.render()
    this.askAgain()
  }

  async put(kind, by) {
    const path = `/v1/posts/${this.id}/reaction`
    await (kind ? call("PUT", path, {body: {reaction: kind}, by}) : call("DELETE", path, {by}))
    const post = `${this.author}'s post`
    say(kind ? `You reacted with ${labelOf(kind)} to ${post}.` : `You took your reaction off ${post}.`)
  }
}

function jump(element) {
  if (!still.matches && !element.hidden) {
    element.firstChild.animate([{transform: "scale(1.25)"}, {transform: "none"}], {duration: 200, easing: "ease-out"})
  }
}

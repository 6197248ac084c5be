// The menu of reactions above a button. Hover, touch, long press and keyboard open it.

import {icon, labelOf} from "./kinds.js"

const OPENS_MS = 150
const CLOSES_MS = 300
const LONG_MS = 400
const ROOM_PX = 150 // the space above the button that the menu and the top bar need

/**
 * Returns `offer`, which takes the kinds of the menu, and `mark`, which takes the visitor's own.
 *
 * @param chooser holds the button and its menu
 * @param choose called with a kind
 * @param tap called when a mouse clicks the button itself; false opens the menu
 */
export function picker(chooser, {choose, tap}) {
  const button = chooser.querySelector(".react")
  const menu = chooser.querySelector(".picker")
  let items = []
  let timer, pointer, pressed

  const later = (act, ms) => {
    clearTimeout(timer)
    timer = setTimeout(act, ms)
  }

  function open() {
    clearTimeout(timer)
    menu.hidden = false
    menu.classList.toggle("below", button.getBoundingClientRect().top < ROOM_PX)
    button.setAttribute("aria-expanded", "true")
  }

  function close(focus = false) {
    clearTimeout(timer)
    if (focus || menu.contains(document.activeElement)) button.focus()
    menu.hidden = true
    button.setAttribute("aria-expanded", "false")
  }

  function enter() {
    open()
    const own = items.find(one => one.ariaChecked === "true")
    ;(own ?? items[0]).focus()
  }

  chooser.addEventListener("pointerenter", event => {
    if (event.pointerType === "mouse") later(open, OPENS_MS)
  })
  chooser.addEventListener("pointerleave", event => {
    if (event.pointerType === "mouse") later(close, CLOSES_MS)
  })
  chooser.addEventListener("focusout", event => {
    if (!chooser.contains(event.relatedTarget) && !chooser.matches(":hover")) close()
  })
  document.addEventListener("pointerdown", event => {
    if (!menu.hidden && !chooser.contains(event.target)) close()
  })

  button.addEventListener("pointerdown", event => {
    pointer = event.pointerType
    pressed = false
    if (pointer !== "mouse") later(() => { pressed = true; open() }, LONG_MS)
  })
  button.addEventListener("contextmenu", event => {
    if (pointer !== "mouse") event.preventDefault() // a long press opens the menu instead
  })
  button.addEventListener("click", event => {
    clearTimeout(timer)
    if (event.detail === 0) enter() // by keyboard or assistive technology
    else if (pointer === "mouse" && tap()) close()
    else if (pointer === "mouse") open()
    else if (menu.hidden || pressed) open()
    else close()
  })
  button.addEventListener("keydown", event => {
    if (event.key === "ArrowUp" || event.key === "ArrowDown") {
      event.preventDefault()
      enter()
    }
    if (event.key === "Escape") close()
  })
  menu.addEventListener("keydown", event => {
    const place = items.indexOf(document.activeElement)
    const to = {ArrowRight: place + 1, ArrowDown: place + 1, ArrowLeft: place - 1, ArrowUp: place - 1, Home: 0, End: -1}
    if (event.key === "Escape") close(true)
    else if (event.key === "Tab") close(true) // the browser moves on from the button
    else if (event.key in to) items.at(to[event.key] % items.length).focus()
    else return
    if (event.key !== "Tab") event.preventDefault()
  })

  return {
    /** A menu that is open stays open, and keeps the focus. */
    offer(kinds) {
      const shown = !menu.hidden
      const focused = menu.contains(document.activeElement) ? document.activeElement.dataset.kind : null
      items = kinds.map(kind => item(kind, choose, close))
      menu.replaceChildren(...items)
      if (shown) open()
      if (focused) (items.find(one => one.dataset.kind === focused) ?? items[0]).focus()
    },
    mark(own) {
      for (const one of items) one.ariaChecked = String(one.dataset.kind === own)
    },
  }
}

function item(kind, choose, close) {
  const made = document.createElement("button")
  made.type = "button"
  made.tabIndex = -1
  made.dataset.kind = kind
  made.setAttribute("role", "menuitemradio")
  made.setAttribute("aria-label", labelOf(kind))
  made.append(icon(kind))
  made.addEventListener("click", event => {
    close(event.detail === 0)
    choose(kind)
  })
  return made
}

// The icons, labels and numbers of reaction types.

/** The emoji of which there is a drawing: those that the default types have. */
const DRAWN = {
  "\u{1f44d}": "like",
  "\u2764\ufe0f": "love",
  "\u{1f602}": "laugh",
  "\u{1f62e}": "wow",
  "\u{1f622}": "sad",
  "\u{1f621}": "angry",
}

let types = new Map()
let listed = ""

/** Takes what the service lists: name, label, emoji, retired. Returns whether it changed. */
export function learn(items) {
  const before = listed
  listed = JSON.stringify(items)
  types = new Map(items.map(one => [one.name, one]))
  return listed !== before
}

/** Returns whether people may still give a type. */
export const isGiven = kind => !types.get(kind)?.retired

export const labelOf = kind => types.get(kind)?.label ?? kind

export function icon(kind) {
  const emoji = types.get(kind)?.emoji
  const drawn = emoji ? DRAWN[emoji] : "other"
  const made = document.createElement(drawn ? "img" : "span")
  made.className = "icon"
  if (drawn) {
    made.src = `icons/${drawn}.svg`
    made.alt = ""
  } else {
    made.textContent = emoji
    made.ariaHidden = "true"
  }
  return made
}

const exact = new Intl.NumberFormat("en")
const compact = new Intl.NumberFormat("en", {notation: "compact", maximumFractionDigits: 1})

export const inFull = number => exact.format(number)
export const inShort = number => number < 10_000 ? exact.format(number) : compact.format(number)
export const reactions = number => `${inFull(number)} ${number === 1 ? "reaction" : "reactions"}`

// The icons, labels and numbers of reaction types.

const DRAWN = new Set(["like", "love", "laugh", "wow", "sad", "angry"])

const iconOf = kind => `icons/${DRAWN.has(kind) ? kind : "other"}.svg`

export const labelOf = kind => kind.charAt(0).toUpperCase() + kind.slice(1)

export function icon(kind) {
  const image = document.createElement("img")
  image.src = iconOf(kind)
  image.alt = ""
  return image
}

const exact = new Intl.NumberFormat("en")
const compact = new Intl.NumberFormat("en", {notation: "compact", maximumFractionDigits: 1})

export const inFull = number => exact.format(number)
export const inShort = number => number < 10_000 ? exact.format(number) : compact.format(number)
export const reactions = number => `${inFull(number)} ${number === 1 ? "reaction" : "reactions"}`

// Calls of the service, as the visitor of this tab.

import {visitor} from "./people.js"

/** The service answered with a problem, or not at all. The visitor sees the message. */
export class Refused extends Error {}

export async function call(method, path, body) {
  const headers = {"X-Reactions-User": visitor().id}
  if (body) headers["Content-Type"] = "application/json"
  let answer
  try {
    answer = await fetch(path, {method, headers, body: body && JSON.stringify(body)})
  } catch {
    throw new Refused("The service does not answer. It may be back in a moment.")
  }
  const read = await answer.json().catch(() => ({}))
  if (!answer.ok) throw new Refused(read.detail ?? `The service answered ${answer.status}.`)
  return read
}

const said = document.querySelector("#said")
const trouble = document.querySelector("#trouble")
let fades

/** Announces words to screen readers. */
export function say(words) {
  said.textContent = words
}

/** Shows an error to everyone for 6 s. */
export function complain(error) {
  if (!(error instanceof Refused)) throw error
  trouble.textContent = error.message
  trouble.hidden = false
  clearTimeout(fades)
  fades = setTimeout(() => { trouble.hidden = true }, 6_000)
}

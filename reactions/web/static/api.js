// Calls of the service, as one of the visitors.

import {answered} from "./live.js"
import {visitor} from "./people.js"

const LIMIT_MS = 5_000

/** The service answered with a problem, or not at all. The visitor sees the message. */
export class Refused extends Error {}

/**
 * @param by the visitor's id
 * @param limit the time until the answer must be there, in ms
 */
export async function call(method, path, {body, by = visitor().id, limit = LIMIT_MS} = {}) {
  const headers = {"X-Reactions-User": by}
  if (body) headers["Content-Type"] = "application/json"
  let answer, read
  try {
    const signal = AbortSignal.timeout(limit)
    answer = await fetch(path, {method, headers, body: body && JSON.stringify(body), signal})
    read = await answer.text() // the limit covers it, too
  } catch {
    answered(false)
    throw new Refused("The service does not answer. It may be back in a moment.")
  }
  answered(true)
  const value = parse(read)
  if (!answer.ok || value === undefined) throw new Refused(value?.detail ?? `The service answered ${answer.status}.`)
  return value
}

function parse(text) {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const said = document.querySelector("#said")
const trouble = document.querySelector("#trouble")
let fades

/** Announces words to screen readers. */
export function say(words) {
  said.textContent = words
}

/** Shows an error to everyone for 6 s. */
export function complain(error, more = "") {
  if (!(error instanceof Refused)) throw error
  trouble.textContent = `${error.message} ${more}`.trim()
  trouble.hidden = false
  clearTimeout(fades)
  fades = setTimeout(() => { trouble.hidden = true }, 6_000)
}

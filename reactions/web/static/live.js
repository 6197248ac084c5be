// The stream of counts, and whether the page is live: the stream sent something within the last
// 1.5 s, and the last request was answered.

const SILENT_MS = 1_500 // the stream beats twice a second
const RETRY_MS = 3_000
const WORDS = {on: "Live", off: "Not live"}

const shown = document.querySelector("#live")
let comes = false // something comes from the stream
let answers = true
let returned = () => {}
let stream, quiet, again

/** Takes note whether the service answered the last request. */
export function answered(so) {
  answers = so
  judge()
}

/**
 * @param query the ids of the posts
 * @param change called with the values of posts that changed
 * @param types called with the reaction types, at first and when one of them changed
 * @param back called when the page is live again
 */
export function follow(query, {change, types, back}) {
  returned = back

  function listen() {
    hangUp()
    stream = new EventSource(`/v1/stream?beats=true&types=true&${query}`)
    stream.onmessage = event => {
      heard()
      change(JSON.parse(event.data).items)
    }
    stream.addEventListener("beat", heard)
    stream.addEventListener("types", event => {
      heard()
      types(JSON.parse(event.data).items)
    })
    stream.onerror = lost
    quiet = setTimeout(lost, SILENT_MS)
  }

  function heard() {
    clearTimeout(quiet)
    clearTimeout(again)
    quiet = setTimeout(lost, SILENT_MS)
    comes = true
    judge()
  }

  /** The stream may only be slow, so it stays until it is time for another one. */
  function lost() {
    clearTimeout(quiet)
    clearTimeout(again)
    comes = false
    judge()
    if (!document.hidden) again = setTimeout(listen, RETRY_MS)
  }

  // A browser has six connections to a service for all tabs, and a hidden tab needs none.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      hangUp()
      comes = false
      judge()
    } else listen()
  })
  if (!document.hidden) listen()
}

function hangUp() {
  clearTimeout(quiet)
  clearTimeout(again)
  stream?.close()
}

function judge() {
  const before = shown.dataset.state
  const state = comes && answers ? "on" : "off"
  if (state === before || !stream) return
  shown.dataset.state = state
  shown.querySelector(".word").textContent = WORDS[state]
  if (state === "on") returned()
}

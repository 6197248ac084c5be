// Names of the users of the page. No trace has their ids.

const GUESTS = 2n ** 62n
const CROWD = GUESTS + 1_000n

const FIRST = ("Abel Aiko Alma Amir Anouk Ayo Bea Caio Carla Dev Edda Elif Emre Farah Finn Greta Hana Hugo Ida "
  + "Imani Ivo Jana Jun Kaya Kofi Lena Leo Liv Mateo Mina Nils Nora Omar Pia Rafa Rosa Sami Tara Uma Zoe").split(" ")

export const visitors = ["Ada", "Bela", "Chen", "Dara", "Emil", "Fatou"].map((name, place) => {
  return {id: String(GUESTS + BigInt(place + 1)), name}
})

/** Returns the name of a user. The id is a string. */
export function nameOf(id) {
  const known = visitors.find(visitor => visitor.id === id)
  if (known) return known.name
  const number = BigInt(id)
  if (number < CROWD) return `User ${id}`
  const mixed = (number * 2_654_435_761n) >> 7n
  const last = String.fromCharCode(65 + Number((mixed / 64n) % 26n))
  return `${FIRST[Number(mixed % BigInt(FIRST.length))]} ${last}.`
}

/** Returns the visitor of this tab. */
export function visitor() {
  const chosen = sessionStorage.getItem("visitor")
  return visitors.find(one => one.id === chosen) ?? visitors[0]
}

/** Sets the visitor of this tab. The cookie is for the stream, which cannot send a header. */
export function become(id) {
  sessionStorage.setItem("visitor", id)
  document.cookie = `reactions_user=${id}; path=/; SameSite=Strict`
}

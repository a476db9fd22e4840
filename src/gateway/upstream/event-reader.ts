/** Reads Server-Sent Events (WHATWG HTML, 9.2): whole events out of pieces of text. */
export class EventReader {
  readonly #longest: number
  readonly #event: (data: string, type: string) => void
  /** A line that is not over, as it came: a long one is put together once. */
  #pieces: string[] = []
  #pending = 0
  #data: string[] = []
  #length = 0
  #type = ''
  #id: string | undefined
  #lastId: string | undefined
  #retryMs: number | undefined

  /** @param longest characters of one event. */
  constructor(longest: number, event: (data: string, type: string) => void) {
    this.#longest = longest
    this.#event = event
  }

  /** Of the last event that has an id, behind which the stream goes on after a cut; undefined = none has. */
  get lastId(): string | undefined {
    return this.#lastId
  }

  /** ms after which the server wants to be asked again; undefined = it does not say. */
  get retryMs(): number | undefined {
    return this.#retryMs
  }

  /** @returns false when an event has grown longer than it may. */
  feed(text: string): boolean {
    // A line feed may come after the return that was the last character.
    const isOpen = !/[\r\n]/.test(text) && this.#pieces.at(-1)?.endsWith('\r') !== true
    if (isOpen) this.#keep(text)
    else {
      const lines = (this.#pieces.join('') + text).split(/\r\n|\n|\r(?!$)/)
      this.#pieces = []
      this.#pending = 0
      this.#keep(lines.pop() ?? '')
      for (const line of lines) this.#line(line)
    }
    return this.#length + this.#pending <= this.#longest
  }

  #keep(piece: string): void {
    if (piece !== '') this.#pieces.push(piece)
    this.#pending += piece.length
  }

  #line(line: string): void {
    if (line === '') {
      this.#lastId = this.#id
      if (this.#data.length > 0) this.#event(this.#data.join('\n'), this.#type || 'message')
      this.#data = []
      this.#length = 0
      this.#type = ''
      return
    }
    const colon = line.indexOf(':')
    const field = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1)
    if (field === 'event') this.#type = value
    if (field === 'id' && value !== '' && !value.includes('\0')) this.#id = value
    if (field === 'retry' && /^\d{1,9}$/.test(value)) this.#retryMs = Number(value)
    if (field !== 'data') return
    this.#data.push(value)
    this.#length += value.length
  }
}

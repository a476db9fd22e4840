/** What a file's text is parsed with, to be loaded when there is a file. */
export { isNode, LineCounter, parseDocument } from 'yaml'

/** Bytes of one message, in every direction. */
export const longestMessage = 10 * 1024 * 1024

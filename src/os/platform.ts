/** True on Linux, where `/proc` answers. Every other room asks this one instead of `process.platform`. */
export const isLinux = process.platform === 'linux'

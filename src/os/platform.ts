/** True on Linux, where `/proc` answers. Nothing outside `os/` asks which system it is on. */
export const isLinux = process.platform === 'linux'

import assert from 'node:assert/strict'
import { syncBuiltinESMExports } from 'node:module'
import os from 'node:os'
import { it } from 'vitest'
import { parseUrl } from '../../src/config/access-schema.ts'
import { isLoopbackHostname, machineAddresses } from '../../src/os/interfaces.ts'

it('The machine keeps the addresses it had while no descriptor is left to ask the kernel with', () => {
  const before = machineAddresses()
  const { networkInterfaces } = os
  os.networkInterfaces = () => {
    throw new Error('uv_interface_addresses returned Unknown system error 24')
  }
  syncBuiltinESMExports()
  try {
    assert.deepEqual(machineAddresses(), before)
  } finally {
    os.networkInterfaces = networkInterfaces
    syncBuiltinESMExports()
  }
})

it('A host name that only begins like this machine is another machine', () => {
  for (const own of ['localhost', '127.0.0.1', '127.8.9.10', '[::1]', '::1'])
    assert.ok(isLoopbackHostname(own), own)
  for (const other of [
    'localhost.evil.example',
    '127.evil.example',
    '127.0.0.1.evil.example',
    '10.0.0.1',
    '',
  ])
    assert.ok(!isLoopbackHostname(other), other)
  for (const url of [
    'http://localhost',
    'http://localhost:8080/x',
    `http://localhost:\${PORT}/x`,
    'http://127.0.0.1:1',
  ])
    assert.ok(parseUrl(url).ok, url)
  for (const url of [
    'http://localhost.evil.example',
    'http://127.evil.example',
    'http://localhost:x@evil.example',
  ])
    assert.ok(!parseUrl(url).ok, url)
})

import assert from 'node:assert/strict'
import { syncBuiltinESMExports } from 'node:module'
import os from 'node:os'
import { it } from 'vitest'
import { machineAddresses } from '../../src/os/interfaces.ts'

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

export { Gate, type GateHealth } from './gate.ts'
export { GateGroup } from './group.ts'
export { type GateSecrets, loadSecrets } from './secrets.ts'

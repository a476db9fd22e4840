import { shellWord } from '../../report/own-programs.ts'
import { type Check, failed, note, ok } from '../check.ts'

export const configuration: Check = {
  name: 'configuration',
  run: ({ configurationFile, configuration, configurationProblem }) => {
    if (configuration === undefined) {
      const cure =
        configurationFile === undefined
          ? null
          : `correct the file, then: proxy-monitor --check --config ${shellWord(configurationFile)}`
      return [failed('configuration-invalid', configurationProblem ?? 'the configuration is not valid', cure)]
    }
    const { length } = configuration.forwards
    const forwards = length === 1 ? '1 forward' : `${length} forwards`
    if (configurationFile !== undefined)
      return [ok('configuration', `${configurationFile} is valid: ${forwards}`)]
    return [
      note(
        'configuration-default',
        `no configuration file: the ports of the MCP Inspector are watched (${forwards})`,
        'name another one with --config FILE',
      ),
    ]
  },
}

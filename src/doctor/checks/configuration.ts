import { unitCounts } from '../../config/configuration.ts'
import { ownPrograms, shellWord } from '../../report/own-programs.ts'
import { type Check, failed, note, ok, warning } from '../check.ts'

export const configuration: Check = {
  name: 'configuration',
  run: (patient) => {
    const { configurationFile: file, configuration, mistakes, passedOver } = patient
    const skipped = passedOver.map((why) => warning('configuration-passed-over', why))
    if (configuration === undefined) {
      const cure =
        file === undefined ? null : `correct it, then: ${ownPrograms().monitor} --check ${shellWord(file)}`
      return [...skipped, ...mistakes.map((mistake) => failed('configuration-invalid', mistake, cure))]
    }
    const counts = unitCounts(configuration)
    if (file !== undefined) return [...skipped, ok('configuration', `${file} is valid: ${counts}`)]
    return [
      ...skipped,
      note(
        'configuration-default',
        `no configuration file: the ports of the MCP Inspector are watched (${counts})`,
        `for other ports: ${ownPrograms().monitor} --init writes a file to begin with`,
      ),
    ]
  },
}

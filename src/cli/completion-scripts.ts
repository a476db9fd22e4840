export const shells = ['bash', 'zsh', 'fish'] as const

export type Shell = (typeof shells)[number]

/**
 * What a shell has to read so that it completes these commands.
 * @param ask command line, quoted, that prints what may follow; the words of the line are added to it.
 */
export function shellScript(shell: Shell, ask: string, commands: readonly string[]): string {
  return scripts[shell](ask, commands.join(' '))
}

// What was typed is handed on as it is and never evaluated: a Tab must not run `$(...)`.
const scripts: Readonly<Record<Shell, (ask: string, commands: string) => string>> = {
  bash: (ask, commands) => `# bash completion of ${commands}
_port_watchdog() {
  local line
  COMPREPLY=()
  while IFS= read -r line; do
    case $line in
      :files) compopt -o default ;;
      :folders) compopt -o dirnames ;;
      *) COMPREPLY+=("\${line%%$'\\t'*}") ;;
    esac
  done < <(${ask} "$1" "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _port_watchdog ${commands}
`,
  zsh: (ask, commands) => `#compdef ${commands}
_port_watchdog() {
  local line value
  local -a found
  while IFS= read -r line; do
    case $line in
      :files) compset -P '*='; _files; return ;;
      :folders) compset -P '*='; _files -/; return ;;
    esac
    value=\${line%%$'\\t'*}
    value=\${value//:/\\\\:}
    [[ $line == *$'\\t'* ]] && value+=:\${line#*$'\\t'}
    found+=("$value")
  done < <(${ask} "$service" "\${(@)words[2,CURRENT]}" 2>/dev/null)
  _describe -t values value found
}
compdef _port_watchdog ${commands}
`,
  fish: (ask, commands) => `# fish completion of ${commands}
function __port_watchdog
    set -l typed (commandline -opc)
    set -l last (commandline -ct)
    for line in (${ask} $typed "$last" 2>/dev/null)
        switch $line
            case :files
                __fish_complete_path $last
            case :folders
                __fish_complete_directories $last
            case '*'
                echo $line
        end
    end
end
for name in ${commands}
    complete -c $name -f -a '(__port_watchdog)'
end
`,
}

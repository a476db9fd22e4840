/**
 * The file that `--init` writes. As it is it means what there is without a file. Lines with `# ` explain; lines that begin with `#` and no
 * space are examples, to be used by taking the `#` away.
 */
export const starterFile = `# port-watchdog: which ports are kept open, and where they lead. Check it with: proxy-monitor --check
# A change takes effect at once. What cannot be used is refused and said, and the configuration before stays in force.
# All keys: man port-watchdog.yaml

# Time between two rounds of checks: 250ms, 5s, 2m, 1h.
interval: 10s

# What is forwarded. Left out, it is the ports of the MCP Inspector, to the same ports of localhost.
#forwards:
#  - name: web                     # in status, logs and alerts
#    listen: 8080                  # the port that others connect to
#    target: localhost:3000        # where the connections go; a list is tried in order
#    allow: [private]              # who may connect: private networks (default), any, or networks such as 192.168.1.0/24
#  - name: api
#    listen: 8443
#    target: localhost:4000
#    gate: token                   # a login in front of an HTTP target
#    tlsSelfSigned: true           # https, with a certificate made for this machine
#    idleTimeout: 1h               # close connections that are silent for so long (default: never)

# When a forward is restarted, and when that is given up for a while. These are the defaults.
#restart:
#  failureThreshold: 3             # failures in a row until an alert is sent
#  backoff: 1s                     # before the second restart in a row; doubled at each further one
#  backoffLimit: 5m

# An alert when a forward uses more than this; with action: restart it is also restarted, without refusing anybody.
#limits:
#  memory: 256M
#  cpu: 80%

# Where alerts are sent. A secret can come from an environment variable: url: \${SLACK_URL}
# Try it with: proxy-monitor --test-alert
#alerts:
#  channels:
#    - type: webhook               # or slack, discord
#      url: https://alerts.example.com/hook
#    - type: command               # gets the alert as JSON on stdin
#      command: [logger, --tag, port-watchdog]
`

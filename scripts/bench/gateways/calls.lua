-- wrk sends the calls that the environment describes, each under an id of its own, and prints one exact JSON line at the end.
--   BENCH_PATH     of the URL
--   BENCH_HEADERS  lines of NAME: VALUE
--   BENCH_BODIES   lines of JSON, in turns; @ID@ stands for the id
local before, after, count, id = {}, {}, 0, 0

function init(_)
  local lines = os.getenv('BENCH_HEADERS'):gsub('\n', '\r\n')
  for body in os.getenv('BENCH_BODIES'):gmatch('[^\n]+') do
    count = count + 1
    -- Every id has nine digits, so that the length is known.
    local left, right = body:match('^(.*)@ID@(.*)$')
    local length = #left + 9 + #right
    before[count] = string.format(
      'POST %s HTTP/1.1\r\nHost: %s:%s\r\n%s\r\nContent-Length: %d\r\n\r\n%s',
      os.getenv('BENCH_PATH'), wrk.host, wrk.port, lines, length, left)
    after[count] = right
  end
end

function request()
  id = id + 1
  local turn = id % count + 1
  return before[turn] .. (100000000 + id) .. after[turn]
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"bytes":%d,"seconds":%.6f,"p50":%.1f,"p99":%.1f,"errors":%d}\n',
    summary.requests, summary.bytes, summary.duration / 1e6,
    latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end

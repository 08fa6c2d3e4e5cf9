-- A crowd of users for wrk. `wrk -s users.lua URL -- REQUESTS THINK_MS SKIP`
--
-- REQUESTS: a file, one request a line, "<path>\t<token>", in the order in which they are asked; each thread begins at another place.
-- THINK_MS: mean pause of a connection between an answer and the next request, drawn evenly from half to one and a half of it; 0: none.
-- SKIP: how many requests of the file lie between the threads' beginnings.

local count = 0

function setup(thread)
  thread:set("number", count)
  count = count + 1
end

function init(arguments)
  think_ms = tonumber(arguments[2])
  requests = {}
  for line in io.lines(arguments[1]) do
    local path, token = line:match("^(%S+)\t(%S+)$")
    -- Formatted once: what is left to do for each request is one look into a table.
    requests[#requests + 1] = wrk.format("GET", path, {
      ["Host"] = "127.0.0.1", ["Authorization"] = "Bearer " .. token, ["Accept"] = "application/json", ["Accept-Encoding"] = "gzip",
    })
  end
  place = number * tonumber(arguments[3]) % #requests
  math.randomseed(number + 1)
  -- wrk calls `delay` before each request, if there is one.
  if think_ms > 0 then
    function delay()
      return math.random(think_ms / 2, think_ms * 3 / 2)
    end
  end
end

function request()
  place = place % #requests + 1
  return requests[place]
end

function done(summary, latency, response)
  local figures = {
    duration_us = summary.duration, requests = summary.requests, bytes = summary.bytes,
    connect_errors = summary.errors.connect, read_errors = summary.errors.read, write_errors = summary.errors.write,
    status_errors = summary.errors.status, timeouts = summary.errors.timeout,
    p50_us = latency:percentile(50), p95_us = latency:percentile(95), p99_us = latency:percentile(99), max_us = latency.max,
  }
  local parts = {}
  for name, value in pairs(figures) do
    parts[#parts + 1] = string.format('"%s": %d', name, value)
  end
  print("JSON {" .. table.concat(parts, ", ") .. "}")
end

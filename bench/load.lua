-- What wrk sends, and its figures as one line of JSON. Arguments: create|get, a mark, how many products there are.

local scenario, mark, products
local sent = 0

function init(arguments)
   scenario, mark, products = arguments[1], arguments[2], tonumber(arguments[3])
end

function request()
   sent = sent + 1
   if scenario == "get" then
      return wrk.format("GET", "/products/" .. (sent % products + 1))
   end
   local body = string.format('{"name": "Lamp %s-%d", "price": 19.90, "quantity": 7}', mark, sent)
   return wrk.format("POST", "/products", { ["Content-Type"] = "application/json" }, body)
end

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      '{"requests": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f, "failures": %d}\n',
      summary.requests,
      summary.duration / 1e6,
      latency:percentile(50) / 1e3,
      latency:percentile(99) / 1e3,
      errors.status + errors.connect + errors.read + errors.write + errors.timeout
   ))
end

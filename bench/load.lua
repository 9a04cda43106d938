-- What wrk sends, and its figures as one line of JSON. Arguments: create|get|register|log_in, a mark, how many products
-- or accounts there are, and an access token.

local scenario, mark, known
local headers = { ["Content-Type"] = "application/json" }
local sent = 0

function init(arguments)
   scenario, mark, known = arguments[1], arguments[2], tonumber(arguments[3])
   if arguments[4] ~= "" then
      headers["Authorization"] = "Bearer " .. arguments[4]
   end
end

local function body()
   if scenario == "register" then
      local account = '{"username": "ann-%s-%d", "email": "ann-%s-%d@example.org", "password": "correct horse battery staple"}'
      return "/register", string.format(account, mark, sent, mark, sent)
   elseif scenario == "log_in" then
      local account = '{"login": "ann-%s-%d", "password": "correct horse battery staple"}'
      return "/login", string.format(account, mark, sent % known + 1)
   end
   return "/products", string.format('{"name": "Lamp %s-%d", "price": 19.90, "quantity": 7}', mark, sent)
end

function request()
   sent = sent + 1
   if scenario == "get" then
      return wrk.format("GET", "/products/" .. (sent % known + 1))
   end
   local path, content = body()
   return wrk.format("POST", path, headers, content)
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

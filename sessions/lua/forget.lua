-- Removes a user, and leaves an erasure: when, and the last version, so that older
-- events and recommendations are ignored from now on.
-- KEYS: the sequence, the recommendations, the user's erasure.
-- ARGV: the time in ms.
-- Returns 1 if there was anything to remove.
local at, last = tonumber(ARGV[1]), 0
local stored = redis.call('MGET', KEYS[1], KEYS[3])
if stored[2] then
  local before, version = string.match(stored[2], '^(%d+) (%d+)$')
  at, last = math.max(at, tonumber(before)), tonumber(version)
end
if stored[1] then
  -- Clocks of producers may run ahead.
  at = math.max(at, tonumber(string.sub(stored[1], -9), 36))
  last = math.max(last, tonumber(string.sub(stored[1], -26, -19), 16))
end
redis.call('SET', KEYS[3], string.format('%.0f %.0f', at, last))
return redis.call('DEL', KEYS[1], KEYS[2]) > 0 and 1 or 0

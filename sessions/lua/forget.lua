-- Removes a user, and leaves an erasure: when, and the last version, so that older
-- events and recommendations are ignored from now on.
-- KEYS: the sequence, the recommendations, the user's erasure.
-- ARGV: the time in ms.
-- Returns 1 if there was anything to remove.
local at, last = tonumber(ARGV[1]), 0

-- Returns the version of a sequence and the time of its newest entry, or nothing if it is
-- corrupt: a wrong time would ignore the user's events for centuries.
local function footer_of(text)
  local version, count, skipped, newest = string.match(string.sub(text, -26),
    '^(%x%x%x%x%x%x%x%x)(%x%x%x)(%x%x%x%x%x%x)(%w%w%w%w%w%w%w%w%w)$')
  if version then
    local entries = string.sub(text, tonumber(skipped, 16) + 1, -27)
    local _, found = string.gsub(entries, '\30', '')
    if found > 0 and found == tonumber(count, 16) then
      return tonumber(version, 16), tonumber(newest, 36)
    end
  end
end

local stored = redis.call('MGET', KEYS[1], KEYS[3])
if stored[2] then
  local before, version = string.match(stored[2], '^(%d+) (%d+)$')
  if before then
    at, last = math.max(at, tonumber(before)), tonumber(version)
  end
end
if stored[1] then
  local version, newest = footer_of(stored[1])
  if version then
    -- Clocks of producers may run ahead.
    at, last = math.max(at, newest), math.max(last, version)
  end
end
redis.call('SET', KEYS[3], string.format('%.0f %.0f', at, last))
return redis.call('DEL', KEYS[1], KEYS[2]) > 0 and 1 or 0

-- Deletes a user's sequence and list, and writes an erasure: "TIME VERSION". Older events and
-- lists are ignored from then on, and a new sequence continues from that version.
--
-- KEYS: 1 sequence, 2 list, 3 erasure of the user
-- ARGV: 1 time in ms since 1970
-- Returns 1 if there was a sequence or a list, otherwise 0. Idempotent: an existing erasure never
-- moves back.
local at, last = tonumber(ARGV[1]), 0

-- Returns the version of a sequence and the time of its newest entry, or nothing if it is
-- corrupt: a wrong time could make the erasure cover all events for centuries.
local function footer_of(text)
  local version, count, evicted, newest = string.match(string.sub(text, -26),
    '^(%x%x%x%x%x%x%x%x)(%x%x%x)(%x%x%x%x%x%x)(%w%w%w%w%w%w%w%w%w)$')
  if version then
    local entries = string.sub(text, tonumber(evicted, 16) + 1, -27)
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
    -- The clocks of producers may be ahead.
    at, last = math.max(at, newest), math.max(last, version)
  end
end
redis.call('SET', KEYS[3], string.format('%.0f %.0f', at, last))
return redis.call('DEL', KEYS[1], KEYS[2]) > 0 and 1 or 0

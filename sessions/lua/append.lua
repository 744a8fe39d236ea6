-- Inserts events into a user's sequence: ordered by time, without duplicates, limited to a window.
-- The encoding is described in pkg/userstate. extend in append.go implements the common case.
--
-- KEYS: 1 sequence, 2 erasure of the user
-- ARGV: 1 window: maximum number of entries
--       2 time to live of the sequence in ms; 0: none
--       3, 4, … for each event in order of arrival: the key of its entry (RS event-id US), and the
--       rest of the entry (time, item, type)
-- Returns {version of the sequence, number of events added}. The version grows by that number.
--
-- Idempotent. An event changes nothing if its key is in the sequence (a duplicate), if it is no
-- newer than the oldest entry of a full window (it may have been evicted before), or if it is no
-- newer than the erasure.
local sequence, erasure = KEYS[1], KEYS[2]
local window, ttl = tonumber(ARGV[1]), ARGV[2]
local find, sub = string.find, string.sub
local time_width, footer_width, long = 9, 26, 1024

local entries, version, count, evicted, newest = '', 0, 0, 0, -1
local newest_time, erased_at = nil, -1
local stored = redis.call('MGET', sequence, erasure)
if not stored[1] then
  stored[1] = redis.call('GET', sequence) -- fails for a key of another type, which MGET reports as missing
end
if stored[2] then
  local at, last = string.match(stored[2], '^(%d+) (%d+)$')
  erased_at, version = tonumber(at), tonumber(last)
end
if stored[1] then
  entries = stored[1]
  local footer = sub(entries, -footer_width)
  version, count = tonumber(sub(footer, 1, 8), 16), tonumber(sub(footer, 9, 11), 16)
  evicted, newest_time = tonumber(sub(footer, 12, 17), 16), sub(footer, 18)
  newest = tonumber(newest_time, 36)
end
-- Copying a long string for every event would be slow: new entries collect in tail, and the
-- footer stays at the end of entries, where nothing looks like an entry.
local size = math.max(#entries - footer_width, 0)
local written, tail = size, ''

local function join()
  entries = sub(entries, 1, size) .. tail
  size, tail = #entries, ''
end

local function time_of(entry)
  local separator = find(entries, '\31', entry, true)
  return tonumber(sub(entries, separator + 1, separator + time_width), 36)
end

local function next_of(entry)
  return find(entries, '\30', entry + 1, true) or size + 1
end

local function oldest()
  if evicted == size then
    join()
  end
  return evicted + 1
end

local function evict_oldest()
  evicted = next_of(oldest()) - 1
  count = count - 1
end

local function is_duplicate(key)
  return find(entries, key, evicted + 1, true) or find(tail, key, 1, true)
end

local function is_too_old(ms)
  return ms <= erased_at or count >= window and ms <= time_of(oldest())
end

local function insert(ms, entry)
  join()
  local later = evicted + 1
  while time_of(later) <= ms do
    later = next_of(later)
  end
  entries = sub(entries, 1, later - 1) .. entry .. sub(entries, later)
  size = #entries
end

while count > window do
  evict_oldest()
end
local added, inserted = 0, false
for i = 3, #ARGV, 2 do
  local key, rest = ARGV[i], ARGV[i + 1]
  local time = sub(rest, 1, time_width)
  local ms = tonumber(time, 36)
  if not is_duplicate(key) and not is_too_old(ms) then
    if ms >= newest then
      tail = tail .. key .. rest
      newest, newest_time = ms, time
    else
      insert(ms, key .. rest)
      inserted = true
    end
    count, added = count + 1, added + 1
    if count > window then
      evict_oldest()
    end
  end
end
if added == 0 then
  return {version, 0}
end
version = version + added

-- A long sequence is extended in place, so that replicas and the append-only file receive only
-- the new events; evicted entries are removed once they make up a quarter. A short sequence is
-- replaced, because Redis allocates twice the size for a string that grows.
local in_place = written >= long and not inserted and evicted * 4 <= size
if not in_place then
  entries = sub(entries, evicted + 1, size)
  size, evicted, written = #entries, 0, 0
end
local new = sub(entries, written + 1, size) .. tail
  .. string.format('%08x%03x%06x', version, count, evicted) .. newest_time
if in_place then
  redis.call('SETRANGE', sequence, written, new)
  if ttl ~= '0' then
    redis.call('PEXPIRE', sequence, ttl)
  else
    redis.call('PERSIST', sequence)
  end
elseif ttl ~= '0' then
  redis.call('SET', sequence, new, 'PX', ttl)
else
  redis.call('SET', sequence, new)
end
return {version, added}

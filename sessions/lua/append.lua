-- Inserts events into one user's sequence, encoded as pkg/userstate describes.
-- KEYS: the sequence, the user's erasure.
-- ARGV: how many to keep, time to live in ms or 0, then of every event in order of
--       arrival the beginning of its entry, which tells it from others, and the rest.
-- Returns the version and how many events changed the sequence.
local sequence, erasure = KEYS[1], KEYS[2]
local window, ttl = tonumber(ARGV[1]), ARGV[2]
local find, sub = string.find, string.sub
local time_width, footer_width, long = 9, 26, 1024

local entries, version, count, skipped, newest = '', 0, 0, 0, -1
local newest_time, erased_at = nil, -1
local stored = redis.call('MGET', sequence, erasure)
if not stored[1] then
  stored[1] = redis.call('GET', sequence) -- fails for a key that is no string, which MGET takes for none
end
if stored[2] then
  local at, last = string.match(stored[2], '^(%d+) (%d+)$')
  erased_at, version = tonumber(at), tonumber(last)
end
if stored[1] then
  entries = stored[1]
  local footer = sub(entries, -footer_width)
  version, count = tonumber(sub(footer, 1, 8), 16), tonumber(sub(footer, 9, 11), 16)
  skipped, newest_time = tonumber(sub(footer, 12, 17), 16), sub(footer, 18)
  newest = tonumber(newest_time, 36)
end
-- A long text is not copied for every event: new entries gather behind it, and its
-- footer stays, in which nothing looks like an entry.
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
  if skipped == size then
    join()
  end
  return skipped + 1
end

local function skip_oldest()
  skipped = next_of(oldest()) - 1
  count = count - 1
end

local function is_known(id)
  return find(entries, id, skipped + 1, true) or find(tail, id, 1, true)
end

-- Also as old as the oldest of a full window: it may have fallen out before.
local function too_old(ms)
  return ms <= erased_at or count >= window and ms <= time_of(oldest())
end

local function insert(ms, entry)
  join()
  local later = skipped + 1
  while time_of(later) <= ms do
    later = next_of(later)
  end
  entries = sub(entries, 1, later - 1) .. entry .. sub(entries, later)
  size = #entries
end

while count > window do
  skip_oldest()
end
local added, moved = 0, false
for i = 3, #ARGV, 2 do
  local id, rest = ARGV[i], ARGV[i + 1]
  local time = sub(rest, 1, time_width)
  local ms = tonumber(time, 36)
  if not is_known(id) and not too_old(ms) then
    if ms >= newest then
      tail = tail .. id .. rest
      newest, newest_time = ms, time
    else
      insert(ms, id .. rest)
      moved = true
    end
    count, added = count + 1, added + 1
    if count > window then
      skip_oldest()
    end
  end
end
if added == 0 then
  return {version, 0}
end
version = version + added

-- In a long sequence, what was written before stays where it is, so that replicas and
-- the log get the new events alone; what has fallen out is cut off when it is a quarter.
-- A short one is replaced: Redis allocates twice what it needs for a text that grows.
local stays = written >= long and not moved and skipped * 4 <= size
if not stays then
  entries = sub(entries, skipped + 1, size)
  size, skipped, written = #entries, 0, 0
end
local new = sub(entries, written + 1, size) .. tail
  .. string.format('%08x%03x%06x', version, count, skipped) .. newest_time
if stays then
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

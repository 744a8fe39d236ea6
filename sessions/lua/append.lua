-- Inserts events into one user's sequence.
-- KEYS: the sequence, its version.
-- ARGV: how many to keep, scores per millisecond, then of every event in order
--       of arrival the time in ms and the member.
-- Returns the version and how many events changed the sequence.
local sequence, version = KEYS[1], KEYS[2]
local window, ties = tonumber(ARGV[1]), tonumber(ARGV[2])

-- Scores take more digits than tostring gives.
local function exact(number)
  return string.format('%.0f', number)
end

local function id_of(member)
  return string.match(member, '^[^\31]*')
end

-- One search per event is cheaper than taking every member apart.
local members = '\30' .. table.concat(redis.call('ZRANGE', sequence, 0, -1), '\30')
local added_ids = {}

local function is_known(id)
  return added_ids[id] or string.find(members, '\30' .. id .. '\31', 1, true)
end

-- Also as old as the oldest of a full window: it may have fallen out before.
local function too_old(ms)
  local oldest = redis.call('ZRANGE', sequence, -window, -window, 'WITHSCORES')
  return oldest[2] and ms <= math.floor(tonumber(oldest[2]) / ties)
end

-- After the events of the same millisecond that came before.
local function next_score(ms)
  local first = ms * ties
  local last = redis.call('ZREVRANGEBYSCORE', sequence, exact(first + ties - 1), exact(first), 'WITHSCORES', 'LIMIT', 0, 1)
  return last[2] and tonumber(last[2]) + 1 or first
end

local added = 0
for i = 3, #ARGV, 2 do
  local ms, member = tonumber(ARGV[i]), ARGV[i + 1]
  local id = id_of(member)
  if not is_known(id) and not too_old(ms) then
    local score = next_score(ms)
    -- Before the insertion: one entry more than the window, even for a moment,
    -- would cost the compact encoding for good. Only if full: after any write,
    -- Redis no longer refuses the script the memory above its maxmemory.
    if redis.call('ZCARD', sequence) >= window then
      redis.call('ZREMRANGEBYRANK', sequence, 0, -window)
    end
    redis.call('ZADD', sequence, exact(score), member)
    added_ids[id] = true
    added = added + 1
  end
end

if added == 0 then
  return {tonumber(redis.call('GET', version) or 0), 0}
end
return {redis.call('INCRBY', version, added), added}

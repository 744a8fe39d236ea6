-- Replaces a user's recommendations unless those stored are of a newer sequence, or
-- the new ones of a sequence that is gone.
-- KEYS: the recommendations, the sequence, the user's erasure.
-- ARGV: sequence version, JSON, time to live in ms or 0.
-- Returns the id of those replaced, empty if there are none, or 0 if nothing was written.
local version = tonumber(ARGV[1])

-- The version in the footer of the sequence. One that expired begins again at 1: what
-- has a higher version is of the one before.
local current = tonumber(redis.call('GETRANGE', KEYS[2], -26, -19), 16) or 0
if version > current then
  return 0
end
local stored = redis.call('MGET', KEYS[1], KEYS[3])
local erased = stored[2] and tonumber(string.match(stored[2], '%d+$'))
if erased and version <= erased then
  return 0
end
local replaced = ''
if stored[1] then
  -- The fields in front as userstate.List.Encode writes them, without escapes: decoding the whole
  -- list would take half of the script's time.
  local id, old_version = string.match(stored[1],
    '^{"rec_id":"([^"\\]*)","user_id":"[^"\\]*","model_version":"[^"\\]*","sequence_version":(%d+),')
  if not id or string.sub(stored[1], -3) ~= '}]}' then
    -- What cannot be read must not stay forever.
    local readable, old = pcall(cjson.decode, stored[1])
    old = readable and type(old) == 'table' and old or {}
    id, old_version = type(old.rec_id) == 'string' and old.rec_id or '', old.sequence_version
  end
  old_version = tonumber(old_version)
  if old_version and old_version > version and old_version <= current then
    return 0
  end
  replaced = id
end

if ARGV[3] == '0' then
  redis.call('SET', KEYS[1], ARGV[2])
else
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return replaced

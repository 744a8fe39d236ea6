-- Writes a user's recommendation list by compare-and-set on the version of the sequence.
-- replaceOlder in lists.go implements the common case.
--
-- KEYS: 1 list, 2 sequence, 3 erasure of the user
-- ARGV: 1 version of the sequence the list was generated from
--       2 the list as JSON
--       3 time to live in ms; 0: none
-- Returns the rec_id of the list it replaced ('' if there was none), or 0 if nothing was written:
-- the stored list is of a newer sequence, or the list's sequence expired or was erased.
local version = tonumber(ARGV[1])

-- The version in the footer of the sequence. A sequence that expired restarts at version 1, so a
-- list with a higher version is of the expired one.
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
  -- Matches the first fields as userstate.List.Encode writes them, without escapes: decoding the
  -- whole list would take half of the script's time.
  local id, old_version = string.match(stored[1],
    '^{"rec_id":"([^"\\]*)","user_id":"[^"\\]*","model_version":"[^"\\]*","sequence_version":(%d+),')
  if not id or string.sub(stored[1], -3) ~= '}]}' then
    -- An unreadable list is replaced.
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

-- Replaces a user's recommendations unless those stored are of a newer sequence.
-- KEYS: the recommendations.
-- ARGV: sequence version, JSON, time to live in ms or 0.
-- Returns 1 if they were written.
local stored = redis.call('GET', KEYS[1])
if stored then
  -- What cannot be read must not stay forever.
  local readable, old = pcall(cjson.decode, stored)
  local version = readable and type(old) == 'table' and tonumber(old.sequence_version)
  if version and version > tonumber(ARGV[1]) then
    return 0
  end
end

if ARGV[3] == '0' then
  redis.call('SET', KEYS[1], ARGV[2])
else
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return 1

-- Extends or releases a lease, if the caller still holds it.
--
-- KEYS: 1 lease
-- ARGV: 1 token of the holder
--       2 new time to live in ms; 0 releases the lease
-- Returns 1 if the caller holds the lease, 0 if it expired or another process holds it.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
else
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 1

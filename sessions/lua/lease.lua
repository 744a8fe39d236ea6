-- Sets how long a lease still lasts.
-- KEYS: the lease.
-- ARGV: who has it, time to live in ms, 0 to end it.
-- Returns 1 if they have it.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
else
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 1

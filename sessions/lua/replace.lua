-- Lets a key that was to expire take the place of another, for good.
-- KEYS: the new one, the one to be replaced.
redis.call('PERSIST', KEYS[1])
return redis.call('RENAME', KEYS[1], KEYS[2])

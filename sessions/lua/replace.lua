-- Renames a complete temporary key to its final name and removes its expiry, atomically.
--
-- KEYS: 1 temporary key, 2 final key, which is overwritten
-- Returns the reply of RENAME, which fails if the temporary key has expired.
redis.call('PERSIST', KEYS[1])
return redis.call('RENAME', KEYS[1], KEYS[2])

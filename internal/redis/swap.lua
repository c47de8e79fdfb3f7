-- Stores a record or a tombstone if what is stored is what the caller knows.
-- ARGV: the first 9 bytes of what must be there, the new value, its milliseconds to live, and one
-- of: 'full' (a server whose memory is full is to grant it), 'time' (return the server's time), ''.
-- Returns 1 or the server's time, or what is stored if that is something else.
local key = KEYS[1]
if redis.call('GETRANGE', key, 0, 8) ~= ARGV[1] then
  return redis.call('GETEX', key) -- a replica refuses GETEX, so that it never returns what is out of date
end
if ARGV[4] == 'full' then
  redis.call('PEXPIRE', key, ARGV[3]) -- a full server refuses SET only as the first write of a script
end
redis.call('SET', key, ARGV[2], 'PX', ARGV[3])
if ARGV[4] == 'time' then return redis.call('TIME') end
return 1

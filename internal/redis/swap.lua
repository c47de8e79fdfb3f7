-- Stores a record or a tombstone if what is stored is what the caller knows.
-- ARGV: the first 9 bytes of what must be there, the new value, its milliseconds to live, and
-- possibly 'full' (a server whose memory is full is to grant it) or 'time' (return its time).
-- Returns 1 or the server's time, or what is stored if that is something else.
local key, mode = KEYS[1], ARGV[4]
if redis.call('GETRANGE', key, '0', '8') ~= ARGV[1] then -- strings: redis takes long to print a number
  return redis.call('GETEX', key) -- a replica refuses GETEX, so that it never returns what is out of date
end
if mode == 'full' then
  redis.call('PEXPIRE', key, ARGV[3]) -- a full server refuses SET only as the first write of a script
end
redis.call('SET', key, ARGV[2], 'PX', ARGV[3])
if mode == 'time' then return redis.call('TIME') end
return 1

-- Notes in the index of a user that all sessions were ended, unless a later time is noted.
-- ARGV: that time in microseconds, when it may be forgotten, now.
local key, mark = KEYS[1], '!' .. ARGV[1]
redis.call('ZREMRANGEBYSCORE', key, '-inf', ARGV[3]) -- a full server grants this, and then ZADD
for _, name in ipairs(redis.call('ZRANGE', key, 0, -1)) do
  if string.sub(name, 1, 1) == '!' then
    if name > mark then return 'ok' end
    redis.call('ZREM', key, name)
  end
end
redis.call('ZADD', key, ARGV[2], mark)
local last = redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')
redis.call('PEXPIRE', key, string.format('%.0f', math.max(1, last[2] - ARGV[3])))
return 'ok'

-- Adds a session to the index of a user, or moves its end.
-- ARGV: id, when it was entered (microseconds), its end, the limit or 0, now, and the latest time of
-- EndBefore that is judged (microseconds).
-- A member is an id of 22 characters and when it was entered; its score is its end. The member that
-- begins with '!' is when all sessions were ended; its score is when that may be forgotten.
local key, id, limit = KEYS[1], ARGV[1], tonumber(ARGV[4])
redis.call('ZREMRANGEBYSCORE', key, '-inf', ARGV[5]) -- also keeps a replica from answering
local member, others = id .. ARGV[2], 0
for _, name in ipairs(redis.call('ZRANGE', key, 0, -1)) do
  if string.sub(name, 1, 1) == '!' then
    local ended = string.sub(name, 2)
    if ARGV[2] < ended and ended <= ARGV[6] then return 'ended' end
  elseif string.sub(name, 1, 22) == id then
    member = name
  else
    others = others + 1
  end
end
if limit > 0 and others >= limit then return 'full' end
redis.call('ZADD', key, 'GT', ARGV[3], member)
local last = redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')
redis.call('PEXPIRE', key, string.format('%.0f', math.max(1, last[2] - ARGV[5])))
return 'ok'

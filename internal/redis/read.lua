-- Reads a key of a master that refuses writes, and therefore GETEX, because it cannot save to disk
-- or has too few replicas. A replica says READONLY first.
local reply = redis.pcall('GETEX', KEYS[1])
if type(reply) == 'table' and reply.err and
  (string.find(reply.err, 'MISCONF', 1, true) or string.find(reply.err, 'NOREPLICAS', 1, true)) then
  return redis.call('GET', KEYS[1])
end
return reply

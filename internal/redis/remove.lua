-- Removes the session with the id ARGV[1] from the index of a user.
local member = '' -- no member has this name: ZREM then only keeps a replica from answering
for _, name in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  if string.sub(name, 1, 22) == ARGV[1] then member = name end
end
return redis.call('ZREM', KEYS[1], member)

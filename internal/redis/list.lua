-- Returns the members of the index of a user and their scores. ARGV: now.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1]) -- also keeps a replica from answering
return redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')

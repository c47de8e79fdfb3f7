package session

import "strings"

// The scripts of the redis driver. Each works on one key, so that a cluster serves it, and
// checks all it has to check before its first write. None decodes a value and encodes it
// again: integers grow by HINCRBY, everything else is moved as it is.
//
// A session is one hash. A person reads it with HGETALL:
//
//	v:<key>      an encoded value
//	f:<key>      an encoded flash value, after its stamp (16 hex digits) and the end of its
//	             FlashTTL (milliseconds since 1970, 0 for none), each followed by a space
//	a:<key>      an entry of the account part: who is signed in, since when
//	@created, @used, @lifetime, @idle, @remembered, @id
//	@saves       the numbers of the last eight saves, eight bytes each
//
// An ended session is a hash of @ended (milliseconds since 1970) and @by (the number of the
// save that replaced its token, where one did).

// A RedisScript is a script and the SHA-1 of it, the name that EVALSHA knows it by. The names
// stand here since crypto/sha1 is refused under GODEBUG=fips140=only; nothing is secured by them.
type RedisScript struct {
	SHA, Source string

	// Again is which argument, counted from 1, a client sets to "1" that tries again after a
	// connection broke; 0: none.
	Again int
}

// scriptState begins every script that asks in which state the session is. It returns {'gone'}
// where there is none, {'ended', when} where it ended, and goes on where it lives.
//
// A server that has become a replica may lack a session that its master has. So {'gone'} is
// said after a write, of nothing, that a replica refuses: the answer is READONLY there.
const scriptState = `
local key, now = KEYS[1], tonumber(ARGV[1])
local function gone()
  redis.call('HDEL', key, '')
  return {'gone'}
end
local m = redis.call('HMGET', key, '@created', '@used', '@lifetime', '@idle', '@saves', '@ended', '@by')
if m[6] then
  if m[7] and m[7] == ARGV[2] then return {'ok'} end
  return {'ended', m[6]}
end
if not (m[1] and m[2] and m[3] and m[4]) then return gone() end
local used, dies = tonumber(m[2]), tonumber(m[1]) + tonumber(m[3])
if now >= math.min(dies, used + tonumber(m[4])) then return gone() end
local saves = m[5] or ''
-- touch notes the use. A server whose memory is full refuses HSET as a script's first write and
-- grants it after PEXPIRE, so that sessions can still be opened, and be emptied and ended.
local function touch()
  if now > used then used = now end
  redis.call('PEXPIRE', key, string.format('%.0f', math.max(1, math.min(dies, used + tonumber(m[4])) - now)))
  redis.call('HSET', key, '@used', string.format('%.0f', used))
end
`

// loadScript: ARGV now. Returns the whole hash as it was, and notes the use.
var loadScript = RedisScript{
	SHA: "105506b1304047f4be24889104d7268d2594e786",
	Source: scriptState + `
local all = redis.call('HGETALL', key)
touch()
return all
`,
}

// applyScript: ARGV now, number, whether this is another try, the last number that the request
// knew of, clear data, clear flash, then four for each operation: its letter, its key, and two
// that depend on the letter. Changes.repeats says why a try may come too late.
var applyScript = RedisScript{
	SHA:   "aaaa9634d43951ddded8c7679dddd5a022c05b36",
	Again: 3,
	Source: scriptState + `
local number, sure = ARGV[2], ARGV[3] == '0' or #saves < 64
for i = 1, #saves, 8 do
  local was = string.sub(saves, i, i + 7)
  if was == number then return {'ok'} end
  sure = sure or was == ARGV[4]
end
if not sure then return {'late'} end

-- less compares the decimal texts of two integers, which a Lua number could not hold.
local function less(a, b)
  local below = string.sub(a, 1, 1) == '-'
  if below ~= (string.sub(b, 1, 1) == '-') then return below end
  if below then a, b = string.sub(b, 2), string.sub(a, 2) end
  if #a ~= #b then return #a < #b end
  return a < b
end
for i = 7, #ARGV, 4 do
  if ARGV[i] == '+' then
    local was = ARGV[5] == '0' and redis.call('HGET', key, 'v:' .. ARGV[i + 1])
    local low, high = string.match(ARGV[i + 3], '^(%S+) (%S+)$')
    if was and was ~= '0' and not string.find(was, '^-?[1-9]%d*$') then return {'not', tostring((i - 7) / 4), was} end
    if was and (less(was, low) or less(high, was)) then return {'range', tostring((i - 7) / 4), was} end
  end
end

local function clear(prefix)
  for _, field in ipairs(redis.call('HKEYS', key)) do
    if string.sub(field, 1, 2) == prefix then redis.call('HDEL', key, field) end
  end
end
if ARGV[5] == '1' then clear('v:') end
if ARGV[6] == '1' then clear('f:') end
for i = 7, #ARGV, 4 do
  local op, v, f = ARGV[i], 'v:' .. ARGV[i + 1], 'f:' .. ARGV[i + 1]
  if op == '=' then redis.call('HSET', key, v, ARGV[i + 2])
  elseif op == '-' then redis.call('HDEL', key, v)
  elseif op == '+' then redis.call('HINCRBY', key, v, ARGV[i + 2])
  elseif op == 'f' then redis.call('HSET', key, f, ARGV[i + 2])
  elseif op == 'a' then redis.call('HSET', key, 'a:' .. ARGV[i + 1], ARGV[i + 2])
  elseif op == 'd' then redis.call('HDEL', key, f)
  else
    local was = redis.call('HGET', key, f)
    if was and string.sub(was, 1, 16) == ARGV[i + 2] then
      if op == 'x' then redis.call('HDEL', key, f)
      else redis.call('HSET', key, f, ARGV[i + 3] .. string.match(was, '^%x+ %d+ (.*)$')) end
    end
  end
end
redis.call('HSET', key, '@saves', string.sub(saves .. number, -64))
touch()
return {'ok'}
`,
}

// createScript: ARGV ttl, number, the saves of the copy that it replaces, then fields and values.
// It never replaces a session but for the copy that the same save made; where it finds another
// state of that, it returns its saves.
var createScript = RedisScript{
	SHA: "ec80c711450e891aea8a951cdedb825c73c4b0a1",
	Source: `
local key = KEYS[1]
local saves = redis.call('HGET', key, '@saves')
if saves and ARGV[3] ~= '' and saves == ARGV[3] then
  redis.call('DEL', key)
elseif redis.call('EXISTS', key) == 1 then
  for i = 1, saves and #saves or 0, 8 do
    if string.sub(saves, i, i + 7) == ARGV[2] then return {'repeated', saves} end
  end
  return {'taken'}
end
for i = 4, #ARGV, 2 do redis.call('HSET', key, ARGV[i], ARGV[i + 1]) end
redis.call('PEXPIRE', key, ARGV[1])
return {'ok'}
`,
}

// retireScript: ARGV now, number, the saves of the state that was copied, the time that a
// tombstone stands. Returns what the session has become where it is another state by now.
var retireScript = RedisScript{
	SHA: "d08c825a72569c4ee72598db2b4c4ba84543a51a",
	Source: scriptState + `
if saves ~= ARGV[3] then return redis.call('HGETALL', key) end
redis.call('DEL', key)
redis.call('HSET', key, '@ended', ARGV[1], '@by', ARGV[2])
redis.call('PEXPIRE', key, ARGV[4])
return {'ok'}
`,
}

// destroyScript: ARGV now, the time that a tombstone stands. Of what is not there it keeps nothing.
var destroyScript = RedisScript{
	SHA: "34864a894f339439fa99115700958178b21b10e6",
	Source: `
local key = KEYS[1]
local ended = redis.call('HEXISTS', key, '@ended') == 1
if ended or redis.call('DEL', key) == 0 then return {'ok'} end
redis.call('HSET', key, '@ended', ARGV[1])
redis.call('PEXPIRE', key, ARGV[2])
return {'ok'}
`,
}

// peekScript: ARGV now. Returns what a list of sessions shows of one, and notes no use. One that
// is over goes at once: its entry in the list goes, so it must not open where a clock is behind.
var peekScript = RedisScript{
	SHA: "e2f90220fb0e664b1e8be20aa12bc3a3754274be",
	Source: strings.Replace(scriptState, "redis.call('HDEL', key, '')", "redis.call('DEL', key)", 1) + `
local reply = {}
for _, field in ipairs({'@created', '@used', '@lifetime', '@idle', '@remembered', '@id',
  'a:authenticated', 'a:hints', 'a:user'}) do
  local value = redis.call('HGET', key, field)
  if value then
    reply[#reply + 1] = field
    reply[#reply + 1] = value
  end
end
return reply
`,
}

// The scripts below work on a user's index: a sorted set of the sessions that the user is signed
// in with, scored by when their lifetime ends. Two kinds of member are no sessions. '!' says that
// the user's sessions were all ended, and its score when that is forgotten. '+', the score of '!'
// and the name of a session say that this one was kept then.

// enrollScript: ARGV now, member, its end, the member that it replaces or nothing, when the user
// signed in, how many sessions a user may have or 0, how long the ending is remembered.
var enrollScript = RedisScript{
	SHA: "b614f51874402126b512f563df8b9e8dc3df41e9",
	Source: `
local key, now, max = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[6])
redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
local mark = redis.call('ZSCORE', key, '!')
local kept = mark and redis.call('ZSCORE', key, '+' .. mark .. ARGV[4])
if mark and not kept and tonumber(ARGV[5]) <= tonumber(mark) - tonumber(ARGV[7]) then return {'ended'} end
if max > 0 then
  local others = 0
  for _, name in ipairs(redis.call('ZRANGE', key, 0, -1)) do
    if #name == #ARGV[2] and name ~= ARGV[2] and name ~= ARGV[4] then others = others + 1 end
  end
  if others >= max then return {'full'} end
end
redis.call('ZADD', key, ARGV[3], ARGV[2])
if kept then redis.call('ZADD', key, mark, '+' .. mark .. ARGV[2]) end
local last = redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')
redis.call('PEXPIRE', key, string.format('%.0f', math.max(1, tonumber(last[2]) - now)))
return {'ok'}
`,
}

// withdrawScript: ARGV the member, its end or 0 for whichever. One with another end stays.
var withdrawScript = RedisScript{
	SHA: "3dc5a7a0dcf9652986fef2389d3e9d127ea0026d",
	Source: `
if ARGV[2] == '0' or tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or 0) == tonumber(ARGV[2]) then
  redis.call('ZREM', KEYS[1], ARGV[1])
end
return {'ok'}
`,
}

// membersScript: ARGV now. Returns members and their ends, the first to end first. What is over
// goes, which also keeps a replica from answering.
var membersScript = RedisScript{
	SHA: "ac5f5523dd8ff09f010ddb3a51c1dae819896b7d",
	Source: `
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1])
return redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
`,
}

// endingScript: ARGV now, how long the ending is remembered, the member that is kept or nothing.
// Returns when all were ended, which is later than the last time. It begins with what a server
// whose memory is full grants: there, too, sessions can be ended.
var endingScript = RedisScript{
	SHA: "b0e627f252639de9c7e2afec63ccc7c12ba7330b",
	Source: `
local key, now = KEYS[1], tonumber(ARGV[1])
redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
local last = redis.call('ZSCORE', key, '!')
local mark = now + tonumber(ARGV[2])
if last and mark <= tonumber(last) then mark = tonumber(last) + 1 end
mark = string.format('%.0f', mark)
redis.call('ZADD', key, mark, '!')
if ARGV[3] ~= '' then redis.call('ZADD', key, mark, '+' .. mark .. ARGV[3]) end
last = redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')
redis.call('PEXPIRE', key, string.format('%.0f', math.max(1, tonumber(last[2]) - now)))
return {string.format('%.0f', tonumber(mark) - tonumber(ARGV[2]))}
`,
}

// removeScript takes back a copy that nobody was given the token of.
var removeScript = RedisScript{
	SHA: "b635c5a7561d18eccbea33a830177541b4693624",
	Source: `
redis.call('DEL', KEYS[1])
return {'ok'}
`,
}

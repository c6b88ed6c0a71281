-- alone: a feeder begins to look at one sample and nothing else, or lives on after that.
--
-- KEYS  1 chunks  2 cursors
-- ARGV  1 group  2 feeder  3 chunk entry  4 chunk id  5 cursor the feeder believes in
--       6 delivery of the chunk  7 "1": the look begins, "0": it is over, whatever was seen
--
-- True after it: "CHUNK:looks" in `cursors` is "cursor:delivery:looks", where so many looks at the
-- sample at the cursor have begun, one after the other, of which none was over. One delivery is
-- one look, so that a call may be repeated. Where the last look was over there is no such field.
-- Answers {status, cursor, looks}: "ok", "moved" (the cursor is elsewhere: go on from there) or
-- "lost" (the chunk is not this feeder's).
local field = ARGV[4] .. ':looks'
local held = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1)[1]
if not held or held[2] ~= ARGV[2] then
  return { 'lost', 0, 0 }
end
local cursor = tonumber(redis.call('HGET', KEYS[2], ARGV[4]) or 0)
if cursor ~= tonumber(ARGV[5]) then
  return { 'moved', cursor, 0 }
end
if ARGV[7] == '0' then
  redis.call('HDEL', KEYS[2], field)
  return { 'ok', cursor, 0 }
end

local told = redis.call('HGET', KEYS[2], field) or ''
local at, delivery, looks = string.match(told, '^(%d+):(%d+):(%d+)$')
looks = at == ARGV[5] and tonumber(looks) or 0
if looks == 0 or delivery ~= ARGV[6] then
  looks = looks + 1
end
redis.call('HSET', KEYS[2], field, table.concat({ ARGV[5], ARGV[6], looks }, ':'))
return { 'ok', cursor, looks }

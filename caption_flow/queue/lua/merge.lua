-- merge: parts that were merged into one are recorded as that one.
--
-- KEYS  1 parts  2 rewrites  3 forbidden  4 merged  5 merged_at
-- ARGV  1 merged part  2 record of it (JSON), the sum of theirs
--       3 seconds for which a record of them may still be on its way
--       then each part that was merged, and its record as it was seen
--
-- True after it: the merged part is recorded, and the others are not: `record` refuses them while
-- the merged one is, for these seconds. So the books say what they said. Answers 1; 0 where one is
-- not recorded as seen, or is losing rows, or the merged part was given up by others: then nothing
-- has changed. May be repeated when its answer got lost.
local merged = ARGV[1]
if redis.call('HGET', KEYS[1], merged) == ARGV[2] then
  return 1
end
if redis.call('SISMEMBER', KEYS[3], merged) == 1 then
  return 0
end
for i = 4, #ARGV, 2 do
  local part, seen = ARGV[i], ARGV[i + 1]
  if redis.call('HGET', KEYS[1], part) ~= seen or redis.call('HEXISTS', KEYS[2], part) == 1 then
    return 0
  end
end
-- These make room: a full server refuses HSET as the first write, and not after another.
for i = 4, #ARGV, 2 do
  redis.call('HDEL', KEYS[1], ARGV[i])
end
redis.call('HSET', KEYS[1], merged, ARGV[2])

local now = tonumber(redis.call('TIME')[1])
-- Twice as many as one call may bring: others wait for no more than that.
local old = redis.call('ZRANGEBYSCORE', KEYS[5], '-inf', now - ARGV[3], 'LIMIT', 0, 10000)
for _, part in ipairs(old) do
  redis.call('HDEL', KEYS[4], part)
end
if #old > 0 then
  redis.call('ZREMRANGEBYRANK', KEYS[5], 0, #old - 1)
end
for i = 4, #ARGV, 2 do
  redis.call('HSET', KEYS[4], ARGV[i], merged)
  redis.call('ZADD', KEYS[5], now, ARGV[i])
end
redis.call('EXPIRE', KEYS[4], ARGV[3])
redis.call('EXPIRE', KEYS[5], ARGV[3])
return 1

-- spend: what a contributor was sent is added up, over all proxies.
--
-- KEYS  1 usage: `day` (of UTC, since the epoch) and its `bytes`; samples by piece of time
-- ARGV  1 samples  2 bytes, of what was sent since this was asked last
--       3 seconds of a piece  4 pieces of a minute
--
-- True after it: they are added, and pieces are gone that are older than a minute.
-- A full server allows it.
-- Answers the samples of the last minute, the seconds until some of these are older than that
-- (0: there are none), the bytes of the day, and the seconds until the next one begins.
local usage = KEYS[1]
local now = tonumber(redis.call('TIME')[1])
local piece, day = math.floor(now / ARGV[3]), math.floor(now / 86400)
local oldest = piece - ARGV[4]
redis.call('HDEL', usage, oldest - 1)  -- a full server refuses HSET, but not after another write
if tonumber(redis.call('HGET', usage, 'day') or -1) ~= day then
  redis.call('HSET', usage, 'day', day, 'bytes', 0)
end
local bytes = redis.call('HINCRBY', usage, 'bytes', ARGV[2])
redis.call('HINCRBY', usage, piece, ARGV[1])
redis.call('EXPIRE', usage, 172800)
local samples, first = 0, nil
local fields = redis.call('HGETALL', usage)
for n = 1, #fields, 2 do
  local at = tonumber(fields[n])
  if at and at < oldest then
    redis.call('HDEL', usage, fields[n])
  elseif at and fields[n + 1] ~= '0' then
    samples = samples + fields[n + 1]
    first = math.min(first or at, at)
  end
end
local wait = first and (first + ARGV[4] + 1) * ARGV[3] - now or 0
return {samples, wait, bytes, (day + 1) * 86400 - now}

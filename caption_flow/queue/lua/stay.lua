-- stay: connections of a contributor go on to count, as their proxy says that they live.
--
-- KEYS  1 sessions, see enter
-- ARGV  1 milliseconds until they count no more  2.. connections
--
-- True after it: they count, however Redis may have forgotten them; but for those that others
-- have taken the place of. A full server allows it.
local sessions = KEYS[1]
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('ZREMRANGEBYSCORE', sessions, -now, now)  -- a full server refuses ZADD as first write
for n = 2, #ARGV do
  if tonumber(redis.call('ZSCORE', sessions, ARGV[n]) or 0) >= 0 then
    redis.call('ZADD', sessions, now + ARGV[1], ARGV[n])
  end
end
if redis.call('PTTL', sessions) < tonumber(ARGV[1]) then
  redis.call('PEXPIRE', sessions, ARGV[1])
end

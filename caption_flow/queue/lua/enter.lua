-- enter: a connection of a contributor begins to count, if there may be one more.
--
-- KEYS  1 sessions: each counts until its score, in milliseconds; what another has taken the
--       place of is kept for a while under a score below 0, and does not count
-- ARGV  1 connection  2 the one it takes the place of; may be empty
--       3 connections at once; 0: any number  4 milliseconds until it counts no more
--       5 milliseconds for which the former one cannot come back
--
-- True after it: the connection counts, and the former one does not, whoever keeps that; or
-- there were as many as may be, and nothing has changed. Those whose proxy died are gone.
-- A full server allows it.
-- Answers 1 or 0.
local sessions = KEYS[1]
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('ZREMRANGEBYSCORE', sessions, -now, now)
local others = redis.call('ZCOUNT', sessions, 0, '+inf')
for _, known in ipairs({ARGV[1], ARGV[2]}) do
  if tonumber(redis.call('ZSCORE', sessions, known) or -1) > 0 then
    others = others - 1
  end
end
if tonumber(ARGV[3]) > 0 and others >= tonumber(ARGV[3]) then
  return 0
end
if ARGV[2] ~= '' then
  redis.call('ZADD', sessions, -(now + ARGV[5]), ARGV[2])
end
redis.call('ZADD', sessions, now + ARGV[4], ARGV[1])
redis.call('PEXPIRE', sessions, math.max(ARGV[4], ARGV[5]))
return 1

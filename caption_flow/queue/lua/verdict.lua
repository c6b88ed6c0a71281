-- verdict: what a contributor made was compared, or will not be.
--
-- KEYS  1 where it is noted that it is not compared yet: probes:CONSUMER, or checking:STAGE
--       2 contributors  3 disagreements:CONTRIBUTOR  4 checks:STAGE, where it waits in that
-- ARGV  1 its entry in that note  2 contributor  3 "agreed", "disagreed", "unanswered" or "dropped"
--       4 how much they agree  5 the disagreement (JSON)  6 most disagreements to keep
--       7 group  8 entry in `checks`
--
-- True after it: the note is gone, and if it was there, this was counted: once, whoever repeats it.
-- What waited in `checks` is gone. Answers 1 if it was counted.
local note, contributors = KEYS[1], KEYS[2]
local name, word = ARGV[2], ARGV[3]

local bytes = redis.call('HGET', note, ARGV[1])
local first = redis.call('HDEL', note, ARGV[1]) == 1
if KEYS[4] then
  redis.call('XACK', KEYS[4], ARGV[7], ARGV[8])
  redis.call('XDEL', KEYS[4], ARGV[8])
  if first then
    redis.call('HINCRBY', note, 'bytes', -tonumber(bytes))
  end
end
if not first or word == 'dropped' then
  return 0
end
if word == 'unanswered' then
  redis.call('HINCRBY', contributors, name .. ':unanswered', 1)
  return 1
end
redis.call('HINCRBY', contributors, name .. ':checked', 1)
redis.call('HINCRBYFLOAT', contributors, name .. ':agreement', ARGV[4])
if word == 'agreed' then
  redis.call('HINCRBY', contributors, name .. ':agreed', 1)
else
  redis.call('LPUSH', KEYS[3], ARGV[5])
  redis.call('LTRIM', KEYS[3], 0, tonumber(ARGV[6]) - 1)
end
return 1

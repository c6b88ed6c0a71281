-- rewrite: what is to become of a part that loses rows, and of their samples, is written down.
--
-- KEYS  1 parts  2 rewrites  3 chunks  4 retried  5 cursors  6 epoch
-- ARGV  1 part  2 its record, as it was seen  3 what is to become (JSON, with a token)
--       4 most chunks that may wait  5 a new word for the epoch, see `epoch`
--       then the id of each sample
--
-- True after it: whoever finds that the part's file was replaced can do the rest, see `rewritten`.
-- Another epoch has begun, and `retried` has the ids, so that no planner takes for new what it will
-- see in the part no more; the mark of the re-issues has moved, so that no auditor takes it for
-- lost. Answers "ok", "full", or "moved" where the part is not recorded so, or is being rewritten;
-- then nothing has changed.
local part = ARGV[1]
if redis.call('HGET', KEYS[1], part) ~= ARGV[2] or redis.call('HEXISTS', KEYS[2], part) == 1 then
  return 'moved'
end
if redis.call('XLEN', KEYS[3]) >= tonumber(ARGV[4]) then
  return 'full'
end
redis.call('HSET', KEYS[2], part, ARGV[3])
-- Lua's stack takes no more than some thousand arguments at a time.
for first = 6, #ARGV, 1000 do
  redis.call('SADD', KEYS[4], unpack(ARGV, first, math.min(first + 999, #ARGV)))
end
redis.call('HINCRBY', KEYS[5], 'reissues', 1)
redis.call('SET', KEYS[6], ARGV[5])
return 'ok'

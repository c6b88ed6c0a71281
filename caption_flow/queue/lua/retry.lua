-- retry: samples of dead letters go back into a chunk, to be fed once more.
--
-- KEYS  1 dead  2 chunks  3 retried  4 counts  5 shards
-- ARGV  1 chunk (JSON)  2 samples in it  3 their shard  then for each sample: dead letter, id
-- WITH  shard
--
-- True after it: the letters are gone, the chunk waits that names their samples, and `retried` has
-- their ids, so that no planner takes them for new. They count as planned and not yet offered.
-- If one letter is not there any more nothing has changed: somebody else retried or dropped it.
-- Answers the letters that are gone. XDEL is the first write, as XACK in `complete`.
local gone = {}
for i = 4, #ARGV, 2 do
  if #redis.call('XRANGE', KEYS[1], ARGV[i], ARGV[i]) == 0 then
    gone[#gone + 1] = ARGV[i]
  end
end
if #gone > 0 then
  return gone
end
for i = 4, #ARGV, 2 do
  redis.call('XDEL', KEYS[1], ARGV[i])
  redis.call('SADD', KEYS[3], ARGV[i + 1])
end
redis.call('XADD', KEYS[2], '*', 'chunk', ARGV[1], 'count', ARGV[2])
redis.call('HINCRBY', KEYS[4], 'dead', -tonumber(ARGV[2]))
count_shard(KEYS[5], ARGV[3], 'dead', -tonumber(ARGV[2]))
redis.call('HINCRBY', KEYS[4], 'offered', -tonumber(ARGV[2]))
return {}

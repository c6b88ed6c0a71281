-- drop: dead letters are gone for good, and their samples with them.
--
-- KEYS  1 dead  2 dropped  3 counts  4 shards
-- ARGV  for each sample: dead letter, id, shard
-- WITH  shard
--
-- True after it: the letters are gone, and `dropped` has the ids of their samples, so that no
-- planner takes them for new; they count as if they had never been planned.
-- Answers how many letters were there; the others were retried or dropped by somebody else.
local dropped = 0
for i = 1, #ARGV, 3 do
  if redis.call('XDEL', KEYS[1], ARGV[i]) == 1 then
    redis.call('SADD', KEYS[2], ARGV[i + 1])
    count_shard(KEYS[4], ARGV[i + 2], 'planned', -1)
    count_shard(KEYS[4], ARGV[i + 2], 'dead', -1)
    dropped = dropped + 1
  end
end
if dropped > 0 then
  redis.call('HINCRBY', KEYS[3], 'planned', -dropped)
  redis.call('HINCRBY', KEYS[3], 'offered', -dropped)
  redis.call('HINCRBY', KEYS[3], 'dead', -dropped)
end
return dropped

-- withdraw: what is left of a chunk is no longer planned, since its shard has changed.
--
-- KEYS  1 chunks  2 cursors  3 counts  4 retried  5 shards
-- ARGV  1 group  2 feeder  3 chunk entry  4 chunk id  5 samples in the chunk
--       6 position of the plan, as the feeder saw it  7 position from which to plan anew
--       8 shard of the chunk  then the id of each sample
-- WITH  shard
--
-- True after it: the chunk is gone, its samples that were not offered are not planned any more, nor
-- in `retried`, and the plan begins again, so that whoever plans finds what the shard holds now.
-- Answers "ok", "lost" (the chunk is not this feeder's) or "moved" (look at the position again);
-- then nothing has changed.
local held = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1)[1]
if not held or held[2] ~= ARGV[2] then
  return 'lost'
end
local position = redis.call('HGET', KEYS[2], 'plan') or ''
if position ~= ARGV[6] then
  return 'moved'
end
local cursor = tonumber(redis.call('HGET', KEYS[2], ARGV[4]) or 0)
redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
redis.call('XDEL', KEYS[1], ARGV[3])
redis.call('HDEL', KEYS[2], ARGV[4], ARGV[4] .. ':looks')
for i = 9 + cursor, #ARGV do
  redis.call('SREM', KEYS[4], ARGV[i])
end
redis.call('HSET', KEYS[2], 'plan', ARGV[7])
redis.call('HINCRBY', KEYS[3], 'planned', cursor - tonumber(ARGV[5]))
count_shard(KEYS[5], ARGV[8], 'planned', cursor - tonumber(ARGV[5]))
redis.call('HSET', KEYS[3], 'plan_done', '0')
return 'ok'

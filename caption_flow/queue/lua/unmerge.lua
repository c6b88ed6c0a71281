-- unmerge: a merged part is given up before it is published, since its parts have changed.
--
-- KEYS  1 parts  2 forbidden  3 merged  4 merged_at  5 epoch
-- ARGV  1 merged part  2 seconds for which a record of it may still be on its way
--       3 a new word for the epoch, see `epoch`
--       then each part that was merged, and its record as it was before
--
-- True after it: the merged part is not recorded, nor will be, and if it was, its parts are
-- recorded as they were, and another epoch has begun, so that sinks look once more where rows
-- stand. May be repeated when its answer got lost.
local was_recorded = redis.call('HDEL', KEYS[1], ARGV[1]) == 1
redis.call('SADD', KEYS[2], ARGV[1])
redis.call('EXPIRE', KEYS[2], ARGV[2])
if not was_recorded then
  return
end
for i = 4, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
  redis.call('HDEL', KEYS[3], ARGV[i])
  redis.call('ZREM', KEYS[4], ARGV[i])
end
redis.call('SET', KEYS[5], ARGV[3])

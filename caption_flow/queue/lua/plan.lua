-- plan: one chunk of the source enters the queue, once, however many planners there are.
--
-- KEYS  1 chunks  2 cursors  3 counts  4 shards  5 shard names
-- ARGV  1 position the planner believes in  2 position after this chunk
--       3 most chunks that may wait  4 samples in the chunk  5 chunk (JSON)
--       6 "1": the source has no more  7 shard of the chunk
-- WITH  shard
--
-- True after it: the position in `cursors` is where the last planned chunk ends, and `planned`
-- counts exactly the samples of the chunks planned, and so does what is kept of their shards. A
-- chunk without samples only moves the position. Answers {"ok"}, {"full"} or {"moved", position}.
local position = redis.call('HGET', KEYS[2], 'plan') or ''
if position ~= ARGV[1] then
  return { 'moved', position }
end
local count = tonumber(ARGV[4])
if count > 0 then
  if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[3]) then
    return { 'full' }
  end
  redis.call('XADD', KEYS[1], '*', 'chunk', ARGV[5], 'count', ARGV[4])
  redis.call('HINCRBY', KEYS[3], 'planned', count)
  keep_shard(KEYS[4], KEYS[5], ARGV[7])
  count_shard(KEYS[4], ARGV[7], 'planned', count)
end
redis.call('HSET', KEYS[2], 'plan', ARGV[2])
redis.call('HSET', KEYS[3], 'plan_done', ARGV[6])
return { 'ok' }

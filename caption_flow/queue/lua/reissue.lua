-- reissue: missing samples of one shard become a chunk, once, however many look for them.
--
-- KEYS  1 chunks  2 cursors  3 counts  4 shards  5 shard names
-- ARGV  1 position of the plan and  2 re-issues so far, as the auditor saw them
--       3 position after this chunk  4 most chunks that may wait  5 samples in the chunk
--       6 chunk (JSON)  7 its shard
-- WITH  shard
--
-- True after it: the chunk waits and its samples are planned once more; both marks have moved, so
-- that no other auditor adds what it missed before this chunk, and no planner of a position that
-- was done. Answers "ok", "full" or "moved"; then nothing has changed.
local position = redis.call('HGET', KEYS[2], 'plan') or ''
local reissues = redis.call('HGET', KEYS[2], 'reissues') or '0'
if position ~= ARGV[1] or reissues ~= ARGV[2] then
  return 'moved'
end
if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[4]) then
  return 'full'
end
redis.call('XADD', KEYS[1], '*', 'chunk', ARGV[6], 'count', ARGV[5])
redis.call('HINCRBY', KEYS[3], 'planned', ARGV[5])
keep_shard(KEYS[4], KEYS[5], ARGV[7])
count_shard(KEYS[4], ARGV[7], 'planned', ARGV[5])
redis.call('HINCRBY', KEYS[2], 'reissues', 1)
redis.call('HSET', KEYS[2], 'plan', ARGV[3])
return 'ok'

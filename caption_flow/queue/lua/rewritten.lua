-- rewritten: a part has lost rows, and their samples are fed again, once, whoever finds it.
--
-- KEYS  1 parts  2 rewrites  3 contributors  4 counts  5 chunks  6 cursors  7 epoch
--       8 shards  9 shard names
-- ARGV  1 part  2 token of the rewriting  3 a new word for the epoch, see `epoch`
-- WITH  shard
--
-- True after it: the part is recorded as it is now, contributors and shards have what is left in
-- it, and the samples of the other rows wait in chunks: they count as planned, and not yet offered.
-- Another epoch has begun, so that sinks look once more which samples stand in parts.
-- Answers 1; 0 where the rewriting is not written down, and nothing has changed.

-- Adds what a record tells that was made; with -1, takes it off.
local function credit(record, sign)
  local told = cjson.decode(record)
  for name, made in pairs(told.tally or {}) do
    for i, what in ipairs({ ':captions', ':prompt_tokens', ':output_tokens' }) do
      redis.call('HINCRBY', KEYS[3], name .. what, 0 + sign * made[i])  -- -0 is no number
    end
  end
  for shard, rows in pairs(told.shards or {}) do
    keep_shard(KEYS[8], KEYS[9], shard)
    count_shard(KEYS[8], shard, 'planned', sign * rows)
    count_shard(KEYS[8], shard, 'captioned', sign * rows)
  end
end

-- Plans the samples of a chunk for its shard; an earlier version has not written that down.
local function plan(shard, count)
  if shard then
    keep_shard(KEYS[8], KEYS[9], shard)
    count_shard(KEYS[8], shard, 'planned', count)
  end
end

local told = redis.call('HGET', KEYS[2], ARGV[1])
local rewrite = told and cjson.decode(told)
if not rewrite or rewrite.token ~= ARGV[2] then
  return 0
end
redis.call('HDEL', KEYS[2], ARGV[1])
local before = redis.call('HGET', KEYS[1], ARGV[1])
if before then
  credit(before, -1)
end
redis.call('HSET', KEYS[1], ARGV[1], rewrite.record)
credit(rewrite.record, 1)

local samples = 0
for i, chunk in ipairs(rewrite.chunks) do
  redis.call('XADD', KEYS[5], '*', 'chunk', chunk, 'count', rewrite.counts[i])
  samples = samples + rewrite.counts[i]
  plan((rewrite.shards or {})[i], rewrite.counts[i])
end
-- A server that was emptied has not counted what stood in parts then.
local counted = math.min(samples, tonumber(redis.call('HGET', KEYS[4], 'captioned') or 0))
for _, field in ipairs({ 'offered', 'completed', 'captioned' }) do
  redis.call('HINCRBY', KEYS[4], field, 0 - counted)
end
redis.call('HINCRBY', KEYS[4], 'planned', samples - counted)
redis.call('HINCRBY', KEYS[6], 'reissues', 1)
redis.call('SET', KEYS[7], ARGV[3])
return 1

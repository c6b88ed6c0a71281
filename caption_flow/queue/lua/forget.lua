-- forget: a part that is gone is recorded no more, once, whoever else finds it gone.
--
-- KEYS  1 parts  2 counts  3 contributors  4 shards  5 epoch
-- ARGV  1 part  2 rows of it that are in no other part  3 a new word for the epoch, see `epoch`
-- WITH  shard
--
-- True after it: the part is not recorded; and if it was, what its record says that contributors
-- made is theirs no more, nor are its rows their shards'; and so many samples count as if they had
-- never been planned, since feeding them again counts them anew. Another epoch has begun then, so
-- that sinks look once more which samples stand in parts, and which parts are recorded.

-- Takes off what a record tells that was made.
local function discredit(record)
  local told = cjson.decode(record)
  for name, made in pairs(told.tally or {}) do
    for i, what in ipairs({ ':captions', ':prompt_tokens', ':output_tokens' }) do
      redis.call('HINCRBY', KEYS[3], name .. what, 0 - made[i])  -- -0 is no number for Redis
    end
  end
  for shard, rows in pairs(told.shards or {}) do
    count_shard(KEYS[4], shard, 'planned', -rows)
    count_shard(KEYS[4], shard, 'captioned', -rows)
  end
end

local part, rows = ARGV[1], tonumber(ARGV[2])
local record = redis.call('HGET', KEYS[1], part)
if not record then
  return
end
redis.call('HDEL', KEYS[1], part)
discredit(record)
if rows > 0 then
  for _, field in ipairs({ 'planned', 'offered', 'completed', 'captioned' }) do
    redis.call('HINCRBY', KEYS[2], field, -rows)
  end
end
redis.call('SET', KEYS[5], ARGV[3])

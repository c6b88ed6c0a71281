-- record: a published part that was forgotten is recorded again.
--
-- KEYS  1 parts  2 epoch  3 contributors  4 shards  5 shard names
-- ARGV  1 part  2 record of it (JSON)  3 a new word for the epoch, see `epoch`
-- WITH  shard
--
-- True after it: the part is recorded; if it was not before, what its record says that contributors
-- made is theirs, its rows are planned and captioned for their shards, and another epoch has begun,
-- so that no sink commits what may stand in this part before it has looked. What of it comes once
-- more and was planned already is taken off again, see `commit`. Answers 1 if it was not.

-- Adds what a record tells that was made.
local function credit(record)
  local told = cjson.decode(record)
  for name, made in pairs(told.tally or {}) do
    for i, what in ipairs({ ':captions', ':prompt_tokens', ':output_tokens' }) do
      redis.call('HINCRBY', KEYS[3], name .. what, made[i])
    end
  end
  for shard, rows in pairs(told.shards or {}) do
    keep_shard(KEYS[4], KEYS[5], shard)
    count_shard(KEYS[4], shard, 'planned', rows)
    count_shard(KEYS[4], shard, 'captioned', rows)
  end
end

local part = ARGV[1]
if redis.call('HEXISTS', KEYS[1], part) == 1 then
  return 0
end
redis.call('HSET', KEYS[1], part, ARGV[2])
credit(ARGV[2])
redis.call('SET', KEYS[2], ARGV[3])
return 1

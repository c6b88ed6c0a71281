-- record: a published part that was forgotten is recorded again.
--
-- KEYS  1 parts  2 epoch  3 contributors  4 shards  5 shard names  6 merged
-- ARGV  1 part  2 record of it (JSON)  3 a new word for the epoch, see `epoch`
--       then the parts that were merged into it
-- WITH  shard
--
-- True after it: of the parts that were merged into it none is recorded, and nothing of them is
-- counted any more. The part is recorded, unless it was merged itself meanwhile into one that is,
-- see `merge`; if it was not before, what its record says that contributors made is theirs, its rows are planned and
-- captioned for their shards, and another epoch has begun, so that no sink commits what may stand
-- in this part before it has looked. What of it comes once more and was planned already is taken
-- off again, see `commit`. Answers 1 if it was not.

-- Adds what a record tells that was made; with -1, takes it off.
local function credit(record, sign)
  local told = cjson.decode(record)
  for name, made in pairs(told.tally or {}) do
    for i, what in ipairs({ ':captions', ':prompt_tokens', ':output_tokens' }) do
      redis.call('HINCRBY', KEYS[3], name .. what, 0 + sign * made[i])  -- -0 is no number
    end
  end
  for shard, rows in pairs(told.shards or {}) do
    if sign > 0 then
      keep_shard(KEYS[4], KEYS[5], shard)
    end
    count_shard(KEYS[4], shard, 'planned', sign * rows)
    count_shard(KEYS[4], shard, 'captioned', sign * rows)
  end
end

-- Whether a part was merged into one that is recorded, perhaps by way of others.
local function is_merged(part)
  local into = redis.call('HGET', KEYS[6], part)
  while into do
    if redis.call('HEXISTS', KEYS[1], into) == 1 then
      return true
    end
    into = redis.call('HGET', KEYS[6], into)
  end
  return false
end

local part = ARGV[1]
if is_merged(part) then
  return 0
end
for i = 4, #ARGV do
  local record = redis.call('HGET', KEYS[1], ARGV[i])
  if record then
    redis.call('HDEL', KEYS[1], ARGV[i])
    credit(record, -1)
  end
end
if redis.call('HEXISTS', KEYS[1], part) == 1 then
  return 0
end
redis.call('HSET', KEYS[1], part, ARGV[2])
credit(ARGV[2], 1)
redis.call('SET', KEYS[2], ARGV[3])
return 1

-- shard: what scripts share that count how far each shard is; they say `WITH shard` on top.
--
-- A shard that is kept has its counters in a hash, `SHARD:planned`, `SHARD:captioned` and
-- `SHARD:dead`, the first of them always, and its name in a sorted set. Those that are planned
-- first are kept, so many at most, since no budget bounds them; of others nothing is counted.

local MOST_SHARDS = 20000  -- as in shards.py

-- Names the shard that a record in JSON is of, whose next field is `after`; see keys.py.
local function shard_in(json, after)
  local literal = string.match(json or '', ',"shard":"(.-)","' .. after .. '":') or ''
  -- What is no text stays as JSON escapes it.
  local readable, name = pcall(cjson.decode, '["' .. literal .. '"]')
  return readable and name[1] or literal
end

-- Names the shard of an entry's sample; '' where it has none.
local function shard_of(fields)
  for i = 1, #fields, 2 do
    if fields[i] == 'sample' then
      return shard_in(fields[i + 1], 'chunk')
    end
  end
  return ''
end

-- Keeps a shard from now on, where there is room.
local function keep_shard(shards, names, shard)
  if redis.call('HEXISTS', shards, shard .. ':planned') == 0
    and redis.call('ZCARD', names) < MOST_SHARDS then
    redis.call('HSET', shards, shard .. ':planned', 0)
    redis.call('ZADD', names, 0, shard)
  end
end

-- Counts on a shard that is kept. What an earlier version did not count is not taken off either.
local function count_shard(shards, shard, counter, number)
  local field = shard .. ':' .. counter
  local planned, counted = unpack(redis.call('HMGET', shards, shard .. ':planned', field))
  if planned then
    -- -0 is no number for Redis.
    redis.call('HINCRBY', shards, field, 0 + math.max(number, 0 - (counted or 0)))
  end
end

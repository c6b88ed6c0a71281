-- commit: the rows of a prepared part become part of the data set, once.
--
-- KEYS  1 captions  2 parts  3 counts  4 forbidden  5 epoch  6 contributors  7 shards
-- ARGV  1 group  2 sink  3 part ("" when the rows are in a part already)  4 record of it (JSON)
--       5 epoch in which the rows were known to stand in no part ("" for any), see `epoch`
--       then entries
-- WITH  shard
--
-- True after it: the part is recorded, its entries are gone and counted as captioned, and what its
-- record says that contributors made is theirs, as its rows are their shards'. What is in a part
-- already is not planned for its shard any more, since that part counts there. If one of the
-- entries is not this sink's any more, or the part is forbidden, nothing has changed. Answers the
-- entries that were lost; none for a part that is recorded already, so that a commit may be
-- repeated when its answer got lost; and "forgotten", when the epoch is another.

-- Who answers: another after a restart (run_id), and after a fail-over and back (master_replid).
local function server()
  local told = redis.pcall('INFO', 'server', 'replication')
  if type(told) ~= 'string' then
    return ''
  end
  local run, data = string.match(told, 'run_id:(%w+)'), string.match(told, 'master_replid:(%w+)')
  return (run or '') .. ' ' .. (data or '')
end

-- Adds what a record tells that was made.
local function credit(record)
  local told = cjson.decode(record)
  for name, made in pairs(told.tally or {}) do
    for i, what in ipairs({ ':captions', ':prompt_tokens', ':output_tokens' }) do
      redis.call('HINCRBY', KEYS[6], name .. what, made[i])
    end
  end
  for shard, rows in pairs(told.shards or {}) do
    count_shard(KEYS[7], shard, 'captioned', rows)
  end
end

-- Deletes an entry, and takes its sample off what is planned of its shard.
local function unplan(id)
  local entry = redis.call('XRANGE', KEYS[1], id, id)[1]
  if entry then
    count_shard(KEYS[7], shard_of(entry[2]), 'planned', -1)
    redis.call('XDEL', KEYS[1], id)
  end
end

if ARGV[3] ~= '' and redis.call('HEXISTS', KEYS[2], ARGV[3]) == 1 then
  return {}
end
if ARGV[5] ~= '' then
  if server() .. ' ' .. (redis.call('GET', KEYS[5]) or '') ~= ARGV[5] then
    return 'forgotten'
  end
end
local forbidden = ARGV[3] ~= '' and redis.call('SISMEMBER', KEYS[4], ARGV[3]) == 1
-- All that the sink holds in one call: asked for one by one, it takes six times as long.
local held = {}
for _, row in ipairs(redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1000000000, ARGV[2])) do
  held[row[1]] = true
end
local lost = {}
for i = 6, #ARGV do
  if forbidden or not held[ARGV[i]] then
    lost[#lost + 1] = ARGV[i]
  end
end
if #lost > 0 then
  return lost
end
local captioned = 0
-- Lua's stack takes no more than some thousand arguments at a time.
for first = 6, #ARGV, 1000 do
  local final = math.min(first + 999, #ARGV)
  captioned = captioned + redis.call('XACK', KEYS[1], ARGV[1], unpack(ARGV, first, final))
  for i = first, ARGV[3] == '' and final or 0 do
    unplan(ARGV[i])
  end
  redis.call('XDEL', KEYS[1], unpack(ARGV, first, final))
end
if ARGV[3] ~= '' then
  redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
  credit(ARGV[4])
end
redis.call('HINCRBY', KEYS[3], 'captioned', captioned)
return {}

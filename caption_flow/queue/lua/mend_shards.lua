-- mend_shards: what is kept of each shard must be what the streams and the parts say.
--
-- KEYS  1 shards  2 shard names  3 cursors  4 chunks  5 captions  6 dead  7 parts  8 epoch
--       then samples:STAGE of each stage
-- ARGV  1 newest of the dead letters that were read before ("": none)  2 letters taken off by then
--       3 epoch in which records of parts were read  4 number of shards that may be kept
--       then for each of these: name, rows in those records, samples of those letters
--       then the parts whose records were read
-- WITH  shard
--
-- True after it: of each shard that is kept, `captioned` are the rows that records of parts tell,
-- `dead` its dead letters, and `planned` these and its samples in chunks, stages and captions.
-- Kept are those it was told of that have any, and others where there is room. Answers "changed"
-- if it was not so, "same" if it was, and "moved", with nothing changed, where letters or records
-- that were read are gone. Of what no budget bounds it reads itself only what is new.
local newest, parts_at = ARGV[1], 5 + 3 * ARGV[4]
local found, names, size = {}, {}, 0

local function add(shard, counter, number)
  if not names[shard] then
    if shard == '' or size >= MOST_SHARDS then  -- of what is not ours; no room
      return
    end
    names[shard] = true
    size = size + 1
  end
  local field = shard .. ':' .. counter
  found[field] = (found[field] or 0) + number
end

-- Calls `use` with the fields of every entry of the stream KEYS[key], read some at a time.
local function each(key, after, use)
  repeat
    local entries = redis.call('XRANGE', KEYS[key], after, '+', 'COUNT', 1000)
    for _, entry in ipairs(entries) do
      use(entry[2])
      after = '(' .. entry[1]
    end
  until #entries < 1000
end

-- Counts the letters that were retried or dropped, ever.
local function taken_off()
  local told = redis.pcall('XINFO', 'STREAM', KEYS[6])
  local facts = { ['entries-added'] = 0, length = 0 }  -- of a stream that is not there
  for i = 1, #told, 2 do
    facts[told[i]] = told[i + 1]
  end
  return facts['entries-added'] - facts.length
end

-- Of a chunk only its id is decoded: the names are many, and may hold what cjson refuses.
local function cursor_of(chunk)
  local literal = string.match(chunk or '', '^{"id":(".-"),"dataset":')
  local readable, id = pcall(cjson.decode, '[' .. (literal or '') .. ']')
  return readable and id[1] and redis.call('HGET', KEYS[3], id[1]) or 0
end

local function add_chunk(entry)
  local fields = {}
  for i = 1, #entry, 2 do
    fields[entry[i]] = entry[i + 1]
  end
  local left = (tonumber(fields.count) or 0) - tonumber(cursor_of(fields.chunk))
  add(shard_in(fields.chunk, 'names'), 'planned', left)
end

local function add_sample(fields)
  add(shard_of(fields), 'planned', 1)
end

local function add_letter(fields)
  add(shard_of(fields), 'dead', 1)
  add_sample(fields)
end

-- Whether what is kept says so already; a shard of which there is nothing any more may be kept.
local function is_right()
  local kept, wanted, right, shards = redis.call('HGETALL', KEYS[1]), 0, 0, 0
  for _, number in pairs(found) do
    wanted = wanted + (number ~= 0 and 1 or 0)
  end
  for i = 1, #kept, 2 do
    local number = found[kept[i]] or 0
    if tonumber(kept[i + 1]) ~= number then
      return false
    end
    right = right + (number ~= 0 and 1 or 0)
    shards = shards + (string.sub(kept[i], -8) == ':planned' and 1 or 0)
  end
  return right == wanted and shards == redis.call('ZCARD', KEYS[2])
end

local unread = {}
for _, part in ipairs(redis.call('HKEYS', KEYS[7])) do
  unread[part] = true
end
for i = parts_at, #ARGV do
  if not unread[ARGV[i]] then
    return 'moved'
  end
  unread[ARGV[i]] = nil
end
local there = newest == '' or #redis.call('XRANGE', KEYS[6], newest, newest) == 1
local epoch = redis.call('GET', KEYS[8]) or ''
if not there or taken_off() ~= tonumber(ARGV[2]) or epoch ~= ARGV[3] then
  return 'moved'
end

for i = 5, parts_at - 1, 3 do
  add(ARGV[i], 'captioned', tonumber(ARGV[i + 1]))
  add(ARGV[i], 'dead', tonumber(ARGV[i + 2]))
  add(ARGV[i], 'planned', ARGV[i + 1] + ARGV[i + 2])
end
for part in pairs(unread) do
  for shard, rows in pairs(cjson.decode(redis.call('HGET', KEYS[7], part)).shards or {}) do
    add(shard, 'captioned', rows)
    add(shard, 'planned', rows)
  end
end
each(4, '-', add_chunk)
each(5, '-', add_sample)
each(6, newest == '' and '-' or '(' .. newest, add_letter)
for key = 9, #KEYS do
  each(key, '-', add_sample)
end

if is_right() then
  return 'same'
end
redis.call('DEL', KEYS[1], KEYS[2])
for shard in pairs(names) do
  if (found[shard .. ':planned'] or 0) > 0 then
    redis.call('ZADD', KEYS[2], 0, shard)
    for _, counter in ipairs({ ':planned', ':captioned', ':dead' }) do
      redis.call('HSET', KEYS[1], shard .. counter, found[shard .. counter] or 0)
    end
  end
end
return 'changed'

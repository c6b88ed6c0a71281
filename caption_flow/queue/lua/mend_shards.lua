-- mend_shards: what is kept of each shard must be what the streams and the parts say.
--
-- KEYS  1 shards  2 shard names  3 cursors  4 chunks  5 captions  6 dead  7 parts
--       then samples:STAGE of each stage
-- ARGV  none
--
-- True after it: of each shard, `captioned` are the rows that records of parts tell, `dead` its
-- dead letters, and `planned` these and its samples in chunks, in stages and in captions; and the
-- names are those of the shards that have any. Answers 1 if it was not so, else 0.
local found, names = {}, {}

local function add(shard, counter, number)
  if shard == '' then  -- of what is not ours
    return
  end
  local field = shard .. ':' .. counter
  found[field] = (found[field] or 0) + number
  names[shard] = true
end

-- Names the shard that a record in JSON is of, whose next field is `after`.
local function shard_of(json, after)
  local literal = string.match(json or '', ',"shard":"(.-)","' .. after .. '":') or ''
  -- What is no text stays as JSON escapes it.
  local readable, name = pcall(cjson.decode, '["' .. literal .. '"]')
  return readable and name[1] or literal
end

-- Calls `use` with the fields of every entry of the stream KEYS[key], read some at a time.
local function each(key, use)
  local after = '-'
  repeat
    local entries = redis.call('XRANGE', KEYS[key], after, '+', 'COUNT', 1000)
    for _, entry in ipairs(entries) do
      local fields = {}
      for i = 1, #entry[2], 2 do
        fields[entry[2][i]] = entry[2][i + 1]
      end
      use(fields)
      after = '(' .. entry[1]
    end
  until #entries < 1000
end

-- Of a chunk only its id is decoded: the names are many, and may hold what cjson refuses.
local function cursor_of(chunk)
  local literal = string.match(chunk or '', '^{"id":(".-"),"dataset":')
  local readable, id = pcall(cjson.decode, '[' .. (literal or '') .. ']')
  return readable and id[1] and redis.call('HGET', KEYS[3], id[1]) or 0
end

each(4, function(fields)
  local left = (tonumber(fields.count) or 0) - tonumber(cursor_of(fields.chunk))
  add(shard_of(fields.chunk, 'names'), 'planned', left)
end)
each(6, function(fields)
  add(shard_of(fields.sample, 'chunk'), 'dead', 1)
end)
for key = 5, #KEYS do
  if key ~= 7 then
    each(key, function(fields)
      add(shard_of(fields.sample, 'chunk'), 'planned', 1)
    end)
  end
end
for _, record in ipairs(redis.call('HVALS', KEYS[7])) do
  for shard, rows in pairs(cjson.decode(record).shards or {}) do
    add(shard, 'captioned', rows)
    add(shard, 'planned', rows)
  end
end

local kept = redis.call('HGETALL', KEYS[1])
local right = 0
for i = 1, #kept, 2 do
  if tonumber(kept[i + 1]) ~= (found[kept[i]] or 0) then
    right = -1
    break
  end
  right = right + (found[kept[i]] and 1 or 0)
end
local wanted = 0
for _ in pairs(found) do
  wanted = wanted + 1
end
if right == wanted then
  return 0
end
redis.call('DEL', KEYS[1], KEYS[2])
for field, number in pairs(found) do
  redis.call('HSET', KEYS[1], field, number)
end
for shard in pairs(names) do
  redis.call('ZADD', KEYS[2], 0, shard)
end
return 1

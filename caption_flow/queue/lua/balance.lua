-- balance: what the books must say by what the streams hold; and, if asked, that they say it.
--
-- KEYS  1 counts  2 cursors  3 chunks  4 captions  5 dead  6 images
--       then samples:STAGE of each stage
-- ARGV  1 "1": mend  then, when mending, entries of images that no sample may need
--
-- True after mending: planned = in chunks + in flight + captioned + dead, by the entries that are
-- there; no chunk that is gone has a cursor; and those of the named images that no sample needs
-- are gone. Answers {books as they were, {planned, offered, completed, dead, bytes in flight} as
-- they should be, images that no sample needs}.

-- Calls `use` with id and fields of every entry of the stream KEYS[key], read some at a time.
local function each(key, use)
  local after = '-'
  repeat
    local entries = redis.call('XRANGE', KEYS[key], after, '+', 'COUNT', 1000)
    for _, entry in ipairs(entries) do
      local fields = {}
      for i = 1, #entry[2], 2 do
        fields[entry[2][i]] = entry[2][i + 1]
      end
      use(entry[1], fields)
      after = '(' .. entry[1]
    end
  until #entries < 1000
end

-- Only the id is decoded: the names are many, and may hold what cjson refuses.
local function id_of(chunk)
  local literal = string.match(chunk or '', '^{"id":(".-"),"dataset":')
  local readable, decoded = pcall(cjson.decode, '[' .. (literal or '') .. ']')
  return readable and decoded[1] or nil
end

local in_chunks, cursors = 0, {}
each(3, function(_, fields)
  local id = id_of(fields.chunk)
  local cursor = id and redis.call('HGET', KEYS[2], id) or 0
  in_chunks = in_chunks + (tonumber(fields.count) or 0) - tonumber(cursor)
  cursors[id or ''] = true
end)

local samples, bytes, needed = 0, 0, {}
for stage = 7, #KEYS do
  each(stage, function(id, fields)
    samples = samples + 1
    bytes = bytes + (tonumber(fields.bytes) or 0)
    needed[fields.image or id] = true
  end)
end

local counts = redis.call('HGETALL', KEYS[1])
local captioned = tonumber(redis.call('HGET', KEYS[1], 'captioned') or 0)
local captions, dead = redis.call('XLEN', KEYS[4]), redis.call('XLEN', KEYS[5])
local offered = samples + captions + captioned + dead
local found = { offered + in_chunks, offered, captions + captioned, dead, bytes }
local spare = redis.call('XLEN', KEYS[6]) - samples

if ARGV[1] == '1' then
  for i = 2, #ARGV do
    if not needed[ARGV[i]] then
      redis.call('XDEL', KEYS[6], ARGV[i])
    end
  end
  for _, field in ipairs(redis.call('HKEYS', KEYS[2])) do
    local ours = field == 'plan' or field == 'reissues' or field == 'moves' or field == 'images'
    if not (ours or cursors[field]) then
      redis.call('HDEL', KEYS[2], field)
    end
  end
  redis.call('HSET', KEYS[1], 'planned', found[1], 'offered', found[2], 'completed', found[3],
    'dead', found[4], 'bytes_in_flight', found[5])
end
return { counts, found, spare }
